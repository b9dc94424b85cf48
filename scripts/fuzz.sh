#!/bin/sh
# Builds the fuzz targets and runs each for so many seconds: scripts/fuzz.sh SECONDS [TARGET...]
#
# Instrumentation comes from flags that a stable compiler has, so that no nightly toolchain is needed; libFuzzer is
# C++, so that a C++ compiler is. New inputs go to target/fuzz/corpus, never into the committed corpora; a finding
# is printed with the path of the input that reproduces it, and the exit code is not 0.
set -eu

seconds=${1:?usage: scripts/fuzz.sh SECONDS [TARGET...]}
shift
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/fuzz"

known=$(for file in fuzz_targets/*.rs; do basename "$file" .rs; done)
targets=${*:-$known}

if ! command -v c++ >/dev/null 2>&1; then
    for target in $targets; do echo "$target: skipped: no C++ compiler"; done
    exit 0
fi

host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR="$root/target/fuzz"
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
# With a target triple the flags stay away from build scripts, which libFuzzer is not linked to.
cargo build --quiet --release --target "$host" $(for target in $targets; do echo "--bin $target"; done)

failed=0
for target in $targets; do
    work="$CARGO_TARGET_DIR/corpus/$target"
    artifacts="$CARGO_TARGET_DIR/artifacts/$target"
    mkdir -p "$work" "$artifacts" "corpus/$target"
    log="$artifacts/log"
    if "$CARGO_TARGET_DIR/$host/release/$target" "$work" "corpus/$target" -max_total_time="$seconds" \
        -max_len=4096 -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$artifacts/" -print_final_stats=1 \
        >"$log" 2>&1; then
        echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, no finding"
    else
        echo "$target: FINDING, see $log"
        tail -n 30 "$log"
        failed=1
    fi
done
exit "$failed"
