#!/usr/bin/env bash
# Installs the clients of the interop suite, each pinned, into .venv, node_modules and .cache beside this file.
# Runs again at no cost while nothing changed. What cannot be installed is written to .cache/skipped with the
# reason, and the suite names it; only a machine that can run no client at all makes this script fail.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

NODE_PACKAGES=(autobahn@26.3.1 autobahn-browser@22.11.1 wampy@8.0.2 ws@8.18.3)
PYTHON=${PYTHON:-python3}
mkdir -p .cache/bin .cache/stamp .cache/log
rm -f .cache/skipped
touch .cache/skipped

skip() { # client, reason
    printf '%s\t%s\n' "$1" "$2" >>.cache/skipped
    echo "interop: skipped $1: $2"
}

has() { command -v "$1" >/dev/null 2>&1; }

# Runs "$@" unless it ran well before with the same inputs (files and words, given up to --).
once() { # name, inputs..., --, command...
    local name=$1 inputs="" begun=$SECONDS
    shift
    while [ "$1" != "--" ]; do
        if [ -f "$1" ]; then inputs+=$(cksum <"$1"); else inputs+="$1 "; fi
        shift
    done
    shift
    if [ "$(cat ".cache/stamp/$name" 2>/dev/null)" = "$inputs" ]; then
        return 0
    fi
    if "$@" >".cache/log/$name" 2>&1; then
        printf '%s' "$inputs" >".cache/stamp/$name"
        echo "interop: $name installed in $((SECONDS - begun)) s"
        return 0
    fi
    tail -n 5 ".cache/log/$name" | sed "s/^/interop: $name: /"
    return 1
}

why() { echo "its installation failed (see interop/.cache/log/$1)"; }

install_python() {
    "$PYTHON" -m venv --clear .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --requirement requirements.txt
}

install_node() {
    npm install --prefix . --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error \
        "${NODE_PACKAGES[@]}"
}

install_go() {
    (cd peers/go && go build -trimpath -o ../../.cache/bin/ ./nexus ./xconn)
}

install_rust() {
    (cd peers/rust && cargo build --quiet --locked --target-dir ../../.cache/rust-target) &&
        cp .cache/rust-target/debug/wamp_async_peer .cache/bin/new && mv .cache/bin/new .cache/bin/wamp_async_peer
}

if ! has "$PYTHON"; then
    for client in autobahn-python xconn-python; do skip $client "$PYTHON is not installed"; done
elif ! { [ -x .venv/bin/python ] || rm -f .cache/stamp/python; } ||
    ! once python requirements.txt "$("$PYTHON" --version)" -- install_python; then
    for client in autobahn-python xconn-python; do skip $client "$(why python)"; done
fi

if ! has npm || ! has node; then
    for client in autobahn-js wampy-js; do skip $client "Node.js with npm is not installed"; done
elif ! { [ -d node_modules ] || rm -f .cache/stamp/node; } ||
    ! once node "${NODE_PACKAGES[@]}" "$(node --version)" -- install_node; then
    for client in autobahn-js wampy-js; do skip $client "$(why node)"; done
fi

if ! has go; then
    for client in nexus-go xconn-go; do skip $client "Go is not installed"; done
elif ! { [ -x .cache/bin/nexus ] || rm -f .cache/stamp/go; } ||
    ! once go peers/go/go.mod peers/go/go.sum peers/go/*/*.go "$(go version)" -- install_go; then
    for client in nexus-go xconn-go; do skip $client "$(why go)"; done
fi

if ! has cargo; then
    skip wamp-async-rust "Cargo is not installed"
elif ! { [ -x .cache/bin/wamp_async_peer ] || rm -f .cache/stamp/rust; } ||
    ! once rust peers/rust/Cargo.toml peers/rust/Cargo.lock peers/rust/src/main.rs "$(cargo --version)" -- install_rust; then
    skip wamp-async-rust "$(why rust)"
fi

# The browser is no client of the suite: examples/check.py opens a page in it, and names it if it is missing.
install_browser() { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }
if ! has chromium && has apt-get && [ "$(id -u)" = 0 ]; then
    once browser -- install_browser || echo "interop: no browser: $(why browser)"
fi

[ "$(wc -l <.cache/skipped)" -lt 7 ]
