#!/usr/bin/env bash
# Makes the stencil tables again with the pinned compiler and compares them with the committed ones.
set -u
cd "$(dirname "$0")/.."
pinned=1.95.0
if [ "$(rustc --version | cut -d' ' -f2)" != "$pinned" ]; then
    echo "skipped: the tables are made with rustc $pinned, and this is $(rustc --version)"
    exit 77
fi
cargo run --quiet --release --package patchjit-stencil-generator -- --check
