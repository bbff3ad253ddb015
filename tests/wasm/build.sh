#!/usr/bin/env bash
# Makes the modules here out of their sources in C, with clang and wasm-ld.
set -eu
cd "$(dirname "$0")"
clang=${CLANG:-clang-19}
features="-mcpu=mvp -mnontrapping-fptoint -msign-ext -mmutable-globals -mbulk-memory -mmultivalue"
# What they do is not to become calls of a library that is not there.
common="--target=wasm32 -nostdlib -ffreestanding -fno-builtin -O2 $features -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=65536"
$clang $common -Wl,--export=_start c/greet.c -o greet.wasm
$clang $common c/kernels.c -o kernels.wasm
chmod 644 ./*.wasm
