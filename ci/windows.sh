#!/usr/bin/env bash
# Runs the tests as x86-64 Windows programs under Wine: compiler, compiled code in that system's conventions, interpreter, memory.
#
# Needs what ci/install.sh installs where it can: the compiler with its sources that it unpacks, from which the standard
# library is built, mingw's compiler as a linker (Debian's gcc-mingw-w64-x86-64), and Wine (wine64).
set -u
cd "$(dirname "$0")/.."
target=x86_64-pc-windows-gnu
unpacked=${PATCHJIT_TOOLS:-$HOME/.cache/patchjit-tools}/debian-rustc/usr
wine=$(command -v wine64 || command -v wine || echo /usr/lib/wine/wine64)
missing=""
[ -x "$unpacked/bin/rustc" ] || missing="$missing a compiler with its sources in $unpacked,"
command -v x86_64-w64-mingw32-gcc >/dev/null || missing="$missing x86_64-w64-mingw32-gcc,"
[ -x "$wine" ] || missing="$missing wine64,"
if [ -n "$missing" ]; then
    echo "not run: missing${missing%,}"
    exit 77
fi
export CARGO_TARGET_DIR=$PWD/target/windows
libraries=$CARGO_TARGET_DIR/libraries
mkdir -p "$libraries" &&
    x86_64-w64-mingw32-gcc -O1 -shared -o "$libraries/bcryptprimitives.dll" ci/windows/bcryptprimitives.c -ladvapi32 || exit 1
# A folder of its own, nothing on the screen, and no debugger for tests that end in an exception.
export WINEPREFIX=$CARGO_TARGET_DIR/wine WINEPATH=$libraries WINEDEBUG=-all WINEDLLOVERRIDES=winedbg.exe=d DISPLAY=
export LD_LIBRARY_PATH=$unpacked/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export RUSTC=$unpacked/bin/rustc RUSTC_BOOTSTRAP=1
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$wine
run() {
    cargo test --quiet --release -Zbuild-std=std,panic_unwind,test --target $target "$@"
}
run --package patchjit --package patchjit-stencils --package patchjit-text --package patchjit-memory \
    --package patchjit-cache --lib --tests &&
    run --package patchjit-cli --lib &&
    run --package patchjit-tests --tests
