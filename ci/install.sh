#!/usr/bin/env bash
# Installs what some checks need beyond Rust and a C compiler, where it is missing and can be had:
#
#   cargo-fuzz                      for ci/fuzz-smoke.sh, from crates.io (also needs a nightly compiler)
#   a browser                       for ci/page.sh, Debian's chromium-headless-shell, where this runs as root
#   a compiler with its sources     for ci/bare-metal.sh, from Debian's packages, unpacked into a folder of its own
#   AArch64's standard library      for ci/aarch64.sh, into the same folder
#   linkers and C libraries         for ci/aarch64.sh and ci/riscv64.sh, Debian's gcc for both, where this runs as root
#   emulators                       for both, Debian's qemu-user from its backports, unpacked into a folder of its own
#   Wine and a linker               for ci/windows.sh, Debian's wine64 and gcc-mingw-w64-x86-64, where this runs as root
#   clang                           for ci/ebpf-objects.sh, Debian's clang-19, where this runs as root
#
# Says what it could not install; the checks then say that they skip. Never fails for that. The folder is
# PATCHJIT_TOOLS, ~/.cache/patchjit-tools unless said; removing it removes everything but cargo-fuzz
# and what is installed as root.
set -u
tools=${PATCHJIT_TOOLS:-$HOME/.cache/patchjit-tools}

if cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz: there is $(cargo fuzz --version)"
elif cargo install --quiet --locked cargo-fuzz --version 0.13.2; then
    echo "cargo-fuzz: installed"
else
    echo "cargo-fuzz: could not be installed"
fi

browser=$(command -v chromium-headless-shell || command -v chromium || command -v google-chrome)
if [ -n "$browser" ]; then
    echo "browser: there is $browser"
elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "browser: not installed; this is no Debian, or not root's"
elif { apt-get install -qq --no-install-recommends chromium-headless-shell ||
    { apt-get update -qq && apt-get install -qq --no-install-recommends chromium-headless-shell; }; } >/dev/null 2>&1; then
    echo "browser: installed chromium-headless-shell"
else
    echo "browser: Debian's chromium-headless-shell could not be had"
fi

compiler=$tools/debian-rustc
if [ -x "$compiler/usr/bin/rustc" ]; then
    echo "compiler with its sources: there is one in $compiler"
elif ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "compiler with its sources: not installed; this is no Debian"
else
    packages="rustc-web libstd-rust-web-1.96 libstd-rust-web-dev rust-web-src libllvm22"
    packages="$packages libgit2-1.5 libmbedtls14 libmbedx509-1 libmbedcrypto7 libhttp-parser2.9"
    downloads=$(mktemp -d)
    # Downloading as root drops to a user who must be able to write there.
    chmod 777 "$downloads"
    # shellcheck disable=SC2086
    if (cd "$downloads" && { apt-get download -qq $packages 2>/dev/null || { apt-get update -qq && apt-get download -qq $packages; }; }) >/dev/null; then
        # Unpacked beside and moved at the end: a half-unpacked compiler is never found.
        mkdir -p "$tools" && rm -rf "$compiler.partial"
        for package in "$downloads"/*.deb; do
            dpkg -x "$package" "$compiler.partial"
        done
        mv "$compiler.partial" "$compiler"
        echo "compiler with its sources: unpacked into $compiler"
    else
        echo "compiler with its sources: its Debian packages could not be had"
    fi
    rm -rf "$downloads"
fi

library=$compiler/usr/lib/rustlib/aarch64-unknown-linux-gnu
if [ -d "$library" ]; then
    echo "AArch64's standard library: there is one in $library"
elif [ ! -x "$compiler/usr/bin/rustc" ] || ! command -v apt-get >/dev/null; then
    echo "AArch64's standard library: not installed; it goes with the compiler above"
else
    downloads=$(mktemp -d)
    chmod 777 "$downloads"
    mkdir -p "$downloads/lists/partial"
    # Lists of their own, so that the system's packages stay of one architecture.
    options="-qq -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o Dir::State::lists=$downloads/lists"
    options="$options -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
    # shellcheck disable=SC2086
    if (cd "$downloads" && apt-get $options update && apt-get $options download libstd-rust-web-dev:arm64) >/dev/null 2>&1; then
        dpkg -x "$downloads"/libstd-rust-web-dev_*_arm64.deb "$compiler"
        echo "AArch64's standard library: unpacked into $library"
    else
        echo "AArch64's standard library: its Debian package could not be had"
    fi
    rm -rf "$downloads"
fi

# linker NAME TRIPLE PACKAGE..: a C compiler, which links, and the C library.
linker() {
    local name=$1 triple=$2
    shift 2
    if command -v "$triple-gcc" >/dev/null; then
        echo "linker for $name: there is $(command -v "$triple-gcc")"
    elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "linker for $name: not installed; this is no Debian, or not root's"
    elif { apt-get install -qq --no-install-recommends "$@" ||
        { apt-get update -qq && apt-get install -qq --no-install-recommends "$@"; }; } >/dev/null 2>&1; then
        echo "linker for $name: installed $*"
    else
        echo "linker for $name: Debian's $* could not be had"
    fi
}

linker AArch64 aarch64-linux-gnu gcc-aarch64-linux-gnu libc6-dev-arm64-cross
linker RISC-V riscv64-linux-gnu gcc-riscv64-linux-gnu libc6-dev-riscv64-cross

packages="wine64 gcc-mingw-w64-x86-64"
if command -v x86_64-w64-mingw32-gcc >/dev/null && { command -v wine64 || command -v wine || [ -x /usr/lib/wine/wine64 ]; } >/dev/null; then
    echo "Wine and a linker: there are both"
elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Wine and a linker: not installed; this is no Debian, or not root's"
# shellcheck disable=SC2086
elif { apt-get install -qq --no-install-recommends $packages ||
    { apt-get update -qq && apt-get install -qq --no-install-recommends $packages; }; } >/dev/null 2>&1; then
    echo "Wine and a linker: installed $packages"
else
    echo "Wine and a linker: Debian's $packages could not be had"
fi

if command -v clang-19 >/dev/null; then
    echo "clang: there is $(command -v clang-19)"
elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "clang: not installed; this is no Debian, or not root's"
elif { apt-get install -qq --no-install-recommends clang-19 ||
    { apt-get update -qq && apt-get install -qq --no-install-recommends clang-19; }; } >/dev/null 2>&1; then
    echo "clang: installed clang-19"
else
    echo "clang: Debian's clang-19 could not be had"
fi

# Emulators before 10.0 do not see code that is rewritten through another mapping of its pages. Debian 12 has a later one
# among its backports; it needs nothing else, so it is unpacked.
emulator=$tools/qemu
if [ -x "$emulator/usr/bin/qemu-aarch64" ]; then
    echo "emulators: there is $("$emulator/usr/bin/qemu-aarch64" --version | head -1) in $emulator"
elif ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "emulators: not installed; this is no Debian"
else
    downloads=$(mktemp -d)
    chmod 777 "$downloads"
    mkdir -p "$downloads/lists/partial"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian bookworm-backports main" >"$downloads/sources.list"
    options="-qq -o Dir::Etc::sourcelist=$downloads/sources.list -o Dir::Etc::sourceparts=-"
    options="$options -o Dir::State::lists=$downloads/lists -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
    # shellcheck disable=SC2086
    if (cd "$downloads" && apt-get $options update && apt-get $options download -t bookworm-backports qemu-user) >/dev/null 2>&1; then
        mkdir -p "$tools" && rm -rf "$emulator.partial"
        dpkg -x "$downloads"/qemu-user_*.deb "$emulator.partial" && mv "$emulator.partial" "$emulator"
        echo "emulators: unpacked $("$emulator/usr/bin/qemu-aarch64" --version | head -1) into $emulator"
    else
        echo "emulators: Debian's qemu-user from its backports could not be had"
    fi
    rm -rf "$downloads"
fi
