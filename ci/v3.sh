#!/usr/bin/env bash
# Runs the tests of templates and of compiled code with the stencils for x86-64 processors that have LZCNT, BMI1 and BMI2.
set -u
cd "$(dirname "$0")/.."
for feature in abm bmi1 bmi2; do
    if ! grep -qw "$feature" /proc/cpuinfo 2>/dev/null; then
        echo "not run: this processor has no $feature"
        exit 77
    fi
done
export PATCHJIT_V3=1
run() {
    cargo test --quiet "$@"
}
run --package patchjit-stencils &&
    run --package patchjit-tests --test compiled --test differential --test links --test links_random --test reach --test tags
