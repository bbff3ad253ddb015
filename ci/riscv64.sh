#!/usr/bin/env bash
# Runs the tests as RISC-V Linux programs in an emulator: every template against the op table, interpreter, compiler and
# compiled code for that processor, and the compiler's bytes for others, which must be the same as anywhere.
#
# These are the tests that ask something of the target. All others pass there, too, but for the sizes of programs for measurements, which take
# the interpreter minutes in an emulator, and threads that share a cache of code (adapters/cache/tests/code.rs says why); they take long.
#
# Needs what ci/install.sh installs where it can: the compiler with its sources that it unpacks, from which the standard library
# is built, a linker and C library (Debian's gcc-riscv64-linux-gnu and libc6-dev-riscv64-cross), and qemu-riscv64 10.0 or later.
set -u
cd "$(dirname "$0")/.."
target=riscv64gc-unknown-linux-gnu
unpacked=${PATCHJIT_TOOLS:-$HOME/.cache/patchjit-tools}/debian-rustc/usr
missing=""
[ -x "$unpacked/bin/rustc" ] || missing="$missing a compiler with its sources in $unpacked,"
command -v riscv64-linux-gnu-gcc >/dev/null || missing="$missing riscv64-linux-gnu-gcc,"
emulator=${PATCHJIT_TOOLS:-$HOME/.cache/patchjit-tools}/qemu/usr/bin/qemu-riscv64
[ -x "$emulator" ] || missing="$missing qemu-riscv64 in $emulator,"
if [ -n "$missing" ]; then
    echo "not run: missing${missing%,}"
    exit 77
fi
export LD_LIBRARY_PATH=$unpacked/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export RUSTC=$unpacked/bin/rustc RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR=target/riscv64
export CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_LINKER=riscv64-linux-gnu-gcc
export CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_RUNNER="$emulator -L /usr/riscv64-linux-gnu"
run() {
    cargo test --quiet --release -Zbuild-std=std,panic_unwind,test --target $target "$@"
}
run --package patchjit-stencils --lib --tests &&
    run --package patchjit-tests --test code_room --test compiled --test digests --test ebpf_objects --test filetests --test links \
        --test reach --test references
