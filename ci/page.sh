#!/usr/bin/env bash
# Opens the page of `patchjit explain --html` in a browser without a window: it must render, say nothing on the console,
# fetch nothing, and link an op to its stencils, bytes and live range. Any browser that speaks the DevTools protocol
# through a pipe will do; PATCHJIT_BROWSER names one. Without one it says so and ends with status 77.
set -u
cd "$(dirname "$0")/.."

browser=${PATCHJIT_BROWSER:-}
for name in chromium-headless-shell chromium chromium-browser google-chrome; do
    [ -n "$browser" ] || browser=$(command -v "$name") || browser=""
done
if [ -z "$browser" ]; then
    echo "page: no browser: none of chromium-headless-shell, chromium, google-chrome; ci/install.sh installs one where it can"
    exit 77
fi
echo "page: in $browser"
PATCHJIT_BROWSER=$browser exec cargo test --quiet --package patchjit-cli --test page -- --ignored --nocapture
