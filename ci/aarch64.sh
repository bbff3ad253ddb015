#!/usr/bin/env bash
# Runs, as an AArch64 Linux program in an emulator, what does not need machine code for that processor: the core's tests,
# the interpreter on every program, and the compiler, which must write the same bytes for x86-64 as it does anywhere.
#
# Needs what ci/install.sh installs where it can: the compiler with AArch64's standard library that it unpacks, a linker
# and C library (Debian's gcc-aarch64-linux-gnu and libc6-dev-arm64-cross), and qemu-aarch64 (qemu-user).
set -u
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
unpacked=${PATCHJIT_TOOLS:-$HOME/.cache/patchjit-tools}/debian-rustc/usr
missing=""
[ -d "$unpacked/lib/rustlib/$target" ] || missing="$missing a compiler with $target in $unpacked,"
command -v aarch64-linux-gnu-gcc >/dev/null || missing="$missing aarch64-linux-gnu-gcc,"
command -v qemu-aarch64 >/dev/null || missing="$missing qemu-aarch64,"
if [ -n "$missing" ]; then
    echo "not run: missing${missing%,}"
    exit 77
fi
export LD_LIBRARY_PATH=$unpacked/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export RUSTC=$unpacked/bin/rustc
export CARGO_TARGET_DIR=target/aarch64
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
run() {
    cargo test --quiet --release --target $target "$@"
}
run --package patchjit --package patchjit-text --package patchjit-memory --package patchjit-cache --lib --tests &&
    run --package patchjit-tests --test oracle_ops --test oracle_programs --test oracle_behaviour --test filetests \
        --test optimizer_storage --test tier
