#!/usr/bin/env bash
# Links core and one stencil set into a program with no library beneath, runs it, and holds its size
# against the budget.
set -u
cd "$(dirname "$0")/bare-image"
budget=$((256 << 10))
if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "skipped: the image is for x86-64 Linux"
    exit 77
fi
cargo fmt --check || exit 1
target=$(cd ../.. && pwd)/target/bare-image
RUSTFLAGS="-C link-arg=-nostartfiles -C link-arg=-nostdlib -C link-arg=-static -C relocation-model=static -C force-unwind-tables=no" \
    CARGO_TARGET_DIR=$target cargo build --quiet --release --target x86_64-unknown-linux-gnu || exit 1
image=$target/x86_64-unknown-linux-gnu/release/patchjit-bare-image
if nm --undefined-only "$image" | grep .; then
    echo "the image needs what it does not bring"
    exit 1
fi
"$image" || { echo "the image ends with status $?"; exit 1; }
# What would be in read-only or flash memory: code and constant data. Storage that begins as zeros is not in
# it, nor are the tables for unwinding, which an image that cannot unwind leaves out.
bytes=$(size -A "$image" | awk '$1 ~ /^\.(text|rodata|data|got)/ { sum += $2 } END { print sum }')
echo "builder, verifier, both engines and one stencil set, optimised for size: $bytes bytes; the budget is $budget"
[ "$bytes" -le $budget ]
