#!/usr/bin/env bash
# Runs the tests as AArch64 Linux programs in an emulator: every template against the op table, interpreter, compiler and
# compiled code for that processor, and the compiler's bytes for others, which must be the same as anywhere. Not the sizes of programs
# for measurements, which take the interpreter minutes in an emulator.
#
# Needs what ci/install.sh installs where it can: the compiler with AArch64's standard library that it unpacks, a linker
# and C library (Debian's gcc-aarch64-linux-gnu and libc6-dev-arm64-cross), and qemu-aarch64 10.0 or later.
set -u
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
unpacked=${PATCHJIT_TOOLS:-$HOME/.cache/patchjit-tools}/debian-rustc/usr
missing=""
[ -d "$unpacked/lib/rustlib/$target" ] || missing="$missing a compiler with $target in $unpacked,"
command -v aarch64-linux-gnu-gcc >/dev/null || missing="$missing aarch64-linux-gnu-gcc,"
emulator=${PATCHJIT_TOOLS:-$HOME/.cache/patchjit-tools}/qemu/usr/bin/qemu-aarch64
[ -x "$emulator" ] || missing="$missing qemu-aarch64 in $emulator,"
if [ -n "$missing" ]; then
    echo "not run: missing${missing%,}"
    exit 77
fi
export LD_LIBRARY_PATH=$unpacked/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export RUSTC=$unpacked/bin/rustc
export CARGO_TARGET_DIR=target/aarch64
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$emulator -L /usr/aarch64-linux-gnu"
run() {
    cargo test --quiet --release --target $target "$@"
}
run --package patchjit --package patchjit-stencils --package patchjit-text --package patchjit-memory --package patchjit-cache \
    --lib --tests &&
    run --package patchjit-tests --tests -- --skip every_bench_size_gives_what_it_promises
