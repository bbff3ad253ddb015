#!/usr/bin/env bash
# Builds core, the stencil tables and the eBPF guest for machines without an operating system.
#
# A target is built with its installed standard library (`rustup target add TARGET`), else from the compiler's
# own sources where it has them. The compiler is the one that BARE_METAL_RUSTC names (what it needs, LD_LIBRARY_PATH and
# such, is taken from the environment), else the one that ci/install.sh unpacked, else rustc.
set -u
cd "$(dirname "$0")/.."
targets="x86_64-unknown-none aarch64-unknown-none thumbv7em-none-eabihf riscv64gc-unknown-none-elf"
unpacked=${PATCHJIT_TOOLS:-$HOME/.cache/patchjit-tools}/debian-rustc/usr
if [ -z "${BARE_METAL_RUSTC:-}" ] && [ -x "$unpacked/bin/rustc" ]; then
    export LD_LIBRARY_PATH=$unpacked/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    BARE_METAL_RUSTC=$unpacked/bin/rustc
fi
rustc=${BARE_METAL_RUSTC:-rustc}
sysroot=$("$rustc" --print sysroot) || exit 1
built=0
status=0
for target in $targets; do
    arguments=(build --quiet --release --package patchjit --package patchjit-stencils --package patchjit-ebpf --target "$target")
    if [ -n "$(find "$sysroot/lib/rustlib/$target/lib" -name 'libcore-*.rlib' 2>/dev/null)" ]; then
        how="installed"
    elif [ -f "$sysroot/lib/rustlib/src/rust/library/core/src/lib.rs" ]; then
        how="from source"
        arguments+=(-Zbuild-std=core)
    else
        echo "$target: skipped: $rustc has neither its standard library nor the sources (rustup target add $target)"
        continue
    fi
    if RUSTC=$rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=target/bare-metal cargo "${arguments[@]}"; then
        echo "$target: built ($how)"
        built=$((built + 1))
    else
        echo "$target: does not build"
        status=1
    fi
done
[ $status -eq 0 ] && [ $built -eq 0 ] && exit 77
exit $status
