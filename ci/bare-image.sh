#!/usr/bin/env bash
# Links core and one stencil set into a program with no library beneath, runs it, and holds its size
# against the budget: for x86-64, and for AArch64 in an emulator where ci/install.sh has fetched what that needs.
set -u
cd "$(dirname "$0")/bare-image"
budget=$((256 << 10))
if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "skipped: the images are built on x86-64 Linux"
    exit 77
fi
cargo fmt --check || exit 1
folder=$(cd ../.. && pwd)/target/bare-image

# An image for a target, how it is run, and what prefix the tools for its object files have.
image() {
    target=$1 runner=$2 tools=$3 flags=$4
    flags="$flags -C link-arg=-nostartfiles -C link-arg=-nostdlib -C link-arg=-static"
    RUSTFLAGS="$flags -C relocation-model=static -C force-unwind-tables=no" \
        CARGO_TARGET_DIR=$folder cargo build --quiet --release --target "$target" || return 1
    image=$folder/$target/release/patchjit-bare-image
    if "${tools}nm" --undefined-only "$image" | grep .; then
        echo "$target: the image needs what it does not bring"
        return 1
    fi
    # shellcheck disable=SC2086
    $runner "$image" || { echo "$target: the image ends with status $?"; return 1; }
    # What would be in read-only or flash memory: code and constant data. Storage that begins as zeros is not in
    # it, nor are the tables for unwinding, which an image that cannot unwind leaves out.
    bytes=$("${tools}size" -A "$image" | awk '$1 ~ /^\.(text|rodata|data|got)/ { sum += $2 } END { print sum }')
    echo "$target: builder, verifier, both engines and one stencil set, optimised for size: $bytes bytes; the budget is $budget"
    [ "$bytes" -le $budget ]
}

image x86_64-unknown-linux-gnu "" "" "" || exit 1

installed=${PATCHJIT_TOOLS:-$HOME/.cache/patchjit-tools}
compiler=$installed/debian-rustc/usr
emulator=$installed/qemu/usr/bin/qemu-aarch64
other=aarch64-unknown-linux-gnu
if [ ! -d "$compiler/lib/rustlib/$other" ] || [ ! -x "$emulator" ] || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    echo "$other: skipped: ci/install.sh has not installed a compiler, a linker and an emulator for it"
    exit 0
fi
export LD_LIBRARY_PATH=$compiler/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export RUSTC=$compiler/bin/rustc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# Atomics outside of their functions ask the system which the processor has.
image $other "$emulator" aarch64-linux-gnu- "-C target-feature=-outline-atomics"
