#!/usr/bin/env bash
# Builds the fuzz targets and runs each for some time, as many at once as there are processors.
#
#   run.sh SECONDS [TARGET]...      default: every target; JOBS=n at once
#
# Begins with the inputs kept in `seeds/` and those that earlier runs found interesting (`corpus/`, not
# kept). What breaks a target is left in `artifacts/TARGET/`; `cargo fuzz run --sanitizer none TARGET FILE`
# shows it again. No sanitizer: the code under test is safe Rust, and the stable compiler has none.
# Ends with 1 if a target was broken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:?run.sh SECONDS [TARGET]...}
shift
jobs=${JOBS:-$(nproc)}
folder=$PWD/target/fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')

say() { printf 'fuzz: %s\n' "$*"; }

# Slower than this for one input, or larger than this, is a finding.
limits=(-timeout=10 -rss_limit_mb=2048 -max_len=16384)

# Runs one target and tells what came of it; 1 if it broke.
run() {
    local target=$1 log=$folder/$1.log runs edges
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    if "$folder/$triple/release/$target" "${limits[@]}" -max_total_time="$seconds" \
        -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 \
        "fuzz/corpus/$target" "fuzz/seeds/$target" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
        say "$target: $runs inputs, ${edges:-cov: 0}"
    else
        say "$target: BROKEN"
        tail -n 30 "$log"
        return 1
    fi
}

mapfile -t targets < <(cargo fuzz list)
if [ $# -gt 0 ]; then
    targets=("$@")
fi

cargo fuzz build --sanitizer none --target-dir "$folder"
broken=0 running=0
for target in "${targets[@]}"; do
    if [ "$running" -ge "$jobs" ]; then
        wait -n || broken=$((broken + 1))
        running=$((running - 1))
    fi
    run "$target" &
    running=$((running + 1))
done
for _ in $(seq "$running"); do
    wait -n || broken=$((broken + 1))
done
say "${#targets[@]} targets ran for $seconds s each, $broken broken"
[ "$broken" = 0 ]
