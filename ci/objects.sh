#!/usr/bin/env bash
# Links object files of `patchjit compile` for other machines: the harness of adapters/runner/tests/objects with the ELF objects
# for AArch64 and RISC-V, which then run in emulators; and the others as far as there are linkers for them. cargo test does the
# same on x86-64 Linux.
#
# Needs aarch64-linux-gnu-gcc and riscv64-linux-gnu-gcc with C libraries, and qemu-aarch64 and qemu-riscv64, which ci/install.sh
# installs where it can. What x86_64-w64-mingw32-gcc, lld-link and ld64.lld would link is skipped without them. Of these only
# COFF for x86-64 is run, in Wine, where that is.
set -eu
cd "$(dirname "$0")/.."
emulators=${PATCHJIT_TOOLS:-$HOME/.cache/patchjit-tools}/qemu/usr/bin
sources=adapters/runner/tests/objects
cargo build --quiet --package patchjit-cli
patchjit=${CARGO_TARGET_DIR:-target}/debug/patchjit
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
export PATH=$PATH:/usr/lib/wine # where Debian has wine64

# objects TARGET FORMAT: two objects with their headers, which the harness expects.
objects() {
    local prefix
    for prefix in sample other; do
        "$patchjit" compile "$sources/sample.uop" --target "$1" --prefix ${prefix}_ --emit obj --format "$2" -o "$build/$prefix.o"
        "$patchjit" compile "$sources/sample.uop" --target "$1" --prefix ${prefix}_ --emit header -o "$build/$prefix.h"
    done
}

# has NAME WHAT: whether there is such a tool; says so if not.
has() {
    command -v "$1" >/dev/null || { echo "$2: skipped, there is no $1" && false; }
}

if has x86_64-w64-mingw32-gcc "COFF for x86-64"; then
    for target in x86_64-windows x86_64-sysv; do
        objects "$target" coff
        x86_64-w64-mingw32-gcc -std=c11 -Wall -Wextra -Werror -I "$build" -o "$build/harness.exe" \
            "$sources/harness.c" "$build/sample.o" "$build/other.o"
        echo "COFF for $target: linked"
        if has wine64 "COFF for $target, running it"; then
            export WINEPREFIX=$build/wine WINEDEBUG=-all
            wine64 "$build/harness.exe"
            wineserver -w
            echo "COFF for $target: run in Wine"
        fi
    done
fi
if has lld-link "COFF for AArch64"; then
    objects aarch64-windows coff
    # Without a C compiler for it an entry stands in for the host functions.
    lld-link /dll /noentry /out:"$build/sample.dll" /export:sample_add /export:other_cells,DATA \
        /alternatename:mix=sample_add /alternatename:host_2e_log=sample_add "$build/sample.o" "$build/other.o"
    echo "COFF for AArch64: linked"
fi
if has ld64.lld "Mach-O"; then
    for machine in x86_64:x86_64-sysv arm64:aarch64-apple; do
        objects "${machine#*:}" macho
        ld64.lld -arch "${machine%:*}" -platform_version macos 11.0 11.0 -dylib -undefined dynamic_lookup \
            -fatal_warnings -o "$build/sample.dylib" "$build/sample.o" "$build/other.o"
        echo "Mach-O for ${machine%:*}: linked"
    done
fi

missing=""
for machine in aarch64:aarch64-aapcs riscv64:riscv64-lp64d; do
    name=${machine%:*}
    if ! command -v "$name-linux-gnu-gcc" >/dev/null || [ ! -x "$emulators/qemu-$name" ]; then
        echo "ELF for $name: not run: missing $name-linux-gnu-gcc, or qemu-$name in $emulators"
        missing=$name
        continue
    fi
    objects "${machine#*:}" elf
    "$name-linux-gnu-gcc" -std=c11 -pedantic -Wall -Wextra -Werror -pie -Wl,-z,text -Wl,--fatal-warnings -I "$build" \
        -o "$build/harness" "$sources/harness.c" "$build/sample.o" "$build/other.o"
    "$emulators/qemu-$name" -L "/usr/$name-linux-gnu" "$build/harness"
    echo "ELF for $name: linked and run"
done
[ -z "$missing" ] || exit 77
