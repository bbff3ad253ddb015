#!/usr/bin/env bash
# Compiles tests/ebpf/kernels.c for eBPF and compares the object with the committed one; with --write, writes that.
#
# Needs Debian's clang-19, which ci/install.sh installs where it can. Another version makes other code.
set -u
cd "$(dirname "$0")/../tests/ebpf"
if ! command -v clang-19 >/dev/null; then
    echo "not run: missing clang-19"
    exit 77
fi
made=$(mktemp)
trap 'rm -f "$made"' EXIT
# mcpu=v2: what every engine that programs are compared on knows. No builtins: there is no memset to call.
clang-19 --target=bpf -mcpu=v2 -O2 -fno-builtin -Wall -Werror -c kernels.c -o "$made" || exit 1
if [ "${1:-}" = --write ]; then
    cp "$made" kernels.o && echo "written"
elif cmp "$made" kernels.o; then
    echo "kernels.o is what $(clang-19 --version | head -1) makes"
else
    exit 1
fi
