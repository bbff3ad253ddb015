#!/usr/bin/env bash
# Runs the tests as RISC-V Linux programs in an emulator: every template against the op table, interpreter, compiler and
# compiled code for that processor, and the compiler's bytes for others, which must be the same as anywhere.
#
# Left out: what takes minutes in an emulator and asks little of the target (the sizes of programs for measurements, the interpreter's own
# tests, tags and traces, which pass there, too), and threads that share a cache of code (adapters/cache/tests/code.rs says why).
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
run --package patchjit --package patchjit-stencils --package patchjit-text --package patchjit-memory --package patchjit-cache \
    --lib --tests &&
    run --package patchjit-tests --test code_room --test compiled --test counters --test differential --test digests --test ebpf \
        --test ebpf_objects --test filetests --test links --test links_random --test reach --test references
