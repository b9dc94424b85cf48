#!/bin/sh
# Runs the Autobahn WebSocket testsuite against examples/websocket_echo.rs, without and with compression, and judges
# its report. The testsuite is installed into WSTEST_HOME (default: a folder in the user's cache) from PyPI, once.
# It needs CPython 2.7, a C compiler and Python 3; where there is no CPython 2.7 the script says so and succeeds.
#
#   scripts/wstest.sh                 quick: everything but groups 9, 12 and 13, a minute
#   scripts/wstest.sh 9.* 12.1.*      these cases only
#   scripts/wstest.sh --all           all 517 cases, about twelve minutes

# Functions below are called before `||`, where the shell ignores `set -e`: they return their failures themselves.
set -eu

WSTEST_HOME="${WSTEST_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/bondy-wstest}"
REPOSITORY="$(cd "$(dirname "$0")/.." && pwd)"

# Prints the path of a CPython 2.7, or nothing.
find_python27() {
    for candidate in \
        "$(command -v python2.7 2>/dev/null)" \
        "$(PYENV_VERSION="$(pyenv versions --bare 2>/dev/null | grep '^2\.7\.' | tail -n 1)" pyenv which python2.7 2>/dev/null)"
    do
        # A version manager's stub may be found and still fail.
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null
        then
            echo "$candidate"
            return
        fi
    done
}

# Versions are pinned: the suite is of the Python 2.7 era, and the order of installation matters.
install_suite() {
    mkdir -p "$WSTEST_HOME"
    "$PYTHON27" -m pip install -q --target "$WSTEST_HOME/boot" 'virtualenv==20.15.1'
    PYTHONPATH="$WSTEST_HOME/boot" "$PYTHON27" -m virtualenv -q "$WSTEST_HOME/py27"
    pip="$WSTEST_HOME/py27/bin/pip"
    "$pip" install -q 'setuptools==44.0.0' 'incremental==16.10.1' 'cryptography==3.3.2' 'pyOpenSSL==19.1.0' \
        'zope.interface==4.6.0'
    "$pip" install -q --no-build-isolation 'Twisted==19.10.0'
    "$pip" install -q 'txaio==2.1.0' 'jinja2==2.11.3' 'markupsafe==1.1.1' 'Werkzeug==1.0.1' 'klein==17.10.0' \
        'service_identity==18.1.0' 'unittest2==1.1.0' 'six==1.16.0' 'wsaccel==0.6.2' 'ujson==2.0.3'
    "$pip" install -q --no-build-isolation 'autobahn==0.10.9' 'autobahntestsuite==25.10.1'
}

# run_cases NAME CASES EXCLUDED [ECHO_ARGUMENT]...: one echo server, one run, one report in $RUN/NAME.
run_cases() {
    name="$1" cases="$2" excluded="$3"
    shift 3
    "$ECHO" 0 "$@" > "$RUN/$name.address" &
    echo_pid=$!
    while [ ! -s "$RUN/$name.address" ]; do
        kill -0 "$echo_pid" || return 1
        sleep 0.1
    done
    cat > "$RUN/$name.json" <<JSON
{"outdir": "$RUN/$name", "servers": [{"agent": "bondy", "url": "ws://$(cat "$RUN/$name.address")"}],
 "cases": $cases, "exclude-cases": $excluded, "exclude-agent-cases": {}}
JSON
    echo "== $name: $cases without $excluded"
    started="$(date +%s)"
    status=0
    (cd "$RUN" && exec timeout 3600 "$WSTEST_HOME/py27/bin/wstest" -m fuzzingclient -s "$name.json") \
        > "$RUN/$name.log" 2>&1 || status=$?
    kill "$echo_pid"
    echo_pid=
    echo "   $(($(date +%s) - started)) s"
    if [ "$status" -ne 0 ]; then
        echo "   wstest ended with status $status:"
        tail -n 20 "$RUN/$name.log"
        return 1
    fi
    python3 "$REPOSITORY/scripts/wstest_report.py" "$RUN/$name/index.json" "$RUN/$name.log"
}

json_list() {
    printf '['
    separator=
    for item in "$@"; do
        printf '%s"%s"' "$separator" "$item"
        separator=', '
    done
    printf ']'
}

PYTHON27="$(find_python27)"
if [ -z "$PYTHON27" ]; then
    echo "skipped: no CPython 2.7"
    exit 0
fi
[ -x "$WSTEST_HOME/py27/bin/wstest" ] || install_suite

RUN="$(mktemp -d "$WSTEST_HOME/run.XXXXXX")"
echo_pid=
trap '[ -z "$echo_pid" ] || kill "$echo_pid" 2>/dev/null || true' EXIT
ECHO="$(cd "$REPOSITORY" && cargo build --release -q -p bondy-transport --example websocket_echo --message-format json \
    | python3 -c 'import json, sys
print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])')"

failed=0
case "${1-}" in
'')
    run_cases plain '["*"]' '["9.*", "12.*", "13.*"]' || failed=1
    run_cases compressing '["*"]' '["9.*", "12.*", "13.*"]' --compression || failed=1
    ;;
--all)
    run_cases plain '["*"]' '[]' || failed=1
    run_cases compressing '["*"]' '[]' --compression || failed=1
    ;;
*)
    cases="$(json_list "$@")"
    run_cases plain "$cases" '[]' || failed=1
    run_cases compressing "$cases" '[]' --compression || failed=1
    ;;
esac
echo "reports: $RUN"
exit "$failed"
