#!/usr/bin/env bash
# Runs each fuzz target for some seconds (PATCHJIT_FUZZ_SECONDS, 20 unless said). The checks are those of the tests
# `differential`, `arbitrary` and `wasm`, with inputs that grow with the code that they reach.
set -u
cd "$(dirname "$0")/.."
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is not installed (cargo install cargo-fuzz --locked): nothing was fuzzed"
    exit 77
fi
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "there is no nightly compiler (rustup toolchain install nightly): nothing was fuzzed"
    exit 77
fi
seconds=${PATCHJIT_FUZZ_SECONDS:-20}
status=0
for target in differential verify text patcher wasm; do
    # The oracle and what the compiler makes are fast enough; the address sanitizer and executable memory of our own
    # do not mix well.
    if cargo +nightly fuzz run --sanitizer none "$target" -- -max_total_time="$seconds" -max_len=4096 -verbosity=0; then
        echo "fuzz target $target: $seconds s without a finding"
    else
        echo "fuzz target $target: FAILED; fuzz/artifacts/$target has the input"
        status=1
    fi
done
exit $status
