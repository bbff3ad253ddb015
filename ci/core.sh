#!/usr/bin/env bash
# What core promises about itself, as far as text can show it: no_std, no alloc, nothing but libm
# below it, unsafe code and possible panics only where they are meant to be.
set -u
cd "$(dirname "$0")/.."
status=0
complain() {
    printf '%s\n' "$1"
    status=1
}

# Product code: without comments and without what follows the first test module of a file. Files of tests alone are
# called tests.rs, and are compiled for tests only.
product() {
    sed -e '/^#\[cfg(test)\]/,$d' -e 's,//.*,,' "$1"
}

tree=$(cargo tree --package patchjit --edges normal --prefix none --format '{p}' | sed 's/ .*//' | sort -u | tr '\n' ' ')
[ "$tree" = "libm patchjit " ] || complain "core depends on more than libm: $tree"

grep -q '^#!\[no_std\]' core/src/lib.rs || complain "core/src/lib.rs is not no_std"
grep -q '^#!\[deny(unsafe_code)\]' core/src/lib.rs || complain "core/src/lib.rs does not deny unsafe code"

# Files that may turn the denial off.
allowed="core/src/cache.rs core/src/call.rs core/src/interp/memory.rs core/src/interp/mod.rs core/src/interp/run.rs"
while IFS= read -r file; do
    code=$(product "$file")
    if grep -nE 'extern crate (alloc|std)|\b(alloc|std)::' <<<"$code"; then
        complain "$file: names alloc or std"
    fi
    if grep -nE '\.unwrap\(\)|\.expect\(|\bpanic!|\bunreachable!|\btodo!|\bunimplemented!' <<<"$code"; then
        complain "$file: may panic"
    fi
    if grep -nE '\bunsafe\b *\{|\bunsafe (fn|impl)\b|allow\(unsafe_code\)' <<<"$code" >/dev/null \
        && [[ " $allowed " != *" $file "* ]]; then
        complain "$file: has unsafe code, which belongs into: $allowed"
    fi
    if ! awk '/mod tests;/ && before != "#[cfg(test)]" { exit 1 } { before = $0 }' "$file"; then
        complain "$file: has tests in what is no test"
    fi
done < <(find core/src -name '*.rs' ! -name tests.rs | sort)

[ $status -eq 0 ] && echo "core: no_std, no alloc, libm only, unsafe code only in: $allowed"
exit $status
