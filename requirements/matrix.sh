#!/usr/bin/env bash
# Runs the tests on every supported Python with the wheels of every ROS that has some, then prints a table.
#   MATRIX="3.12-jazzy 3.10-kilted" make matrix    only these
#   TESTS=unit make matrix                         only these targets of the Makefile
# Each combination keeps its log and its environment in .matrix/: 2.5 GB with torch for the CPU, which has to be the build that
# pip is configured to offer; with CUDA's libraries 8 GB. Interpreters are found on the PATH as python3.10 and so on; with pyenv:
# PYENV_VERSION=3.10.13:3.11.7:3.12.1:3.13.0.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Sum of what pytest's closing lines in a log count as one of these: "= 2 failed, 31 passed, 1 skipped in 9.81s ="
count() {
    awk -v what="^($2)$" '/^(=+ )?[0-9]+ [a-z]+(, [0-9]+ [a-z]+)* in [0-9.]+s/ {
        for (i = 1; i < NF; i++) { word = $(i + 1); sub(",", "", word); if (word ~ what) sum += $i }
    } END { print sum + 0 }' "$1"
}

all=(3.{10,11,12,13}-{kilted,jazzy})
mkdir -p .matrix
bad=0
row="%-12s %8s %8s %8s %8s\n"
# shellcheck disable=SC2059
table=$(printf "$row" combination passed failed skipped seconds)
for combination in ${MATRIX:-${all[*]}}; do
    echo "== $combination"
    log=.matrix/$combination.log
    begin=$SECONDS
    # shellcheck disable=SC2086
    make --keep-going VENV=".matrix/$combination" PYTHON="python${combination%-*}" ROS="${combination#*-}" \
        ${TESTS:-unit end-to-end} 2>&1 | tee "$log" && result="" || result="  FAILED"
    [ -z "$result" ] || bad=1
    # shellcheck disable=SC2059
    table+=$'\n'$(printf "$row" "$combination" "$(count "$log" passed)" "$(count "$log" 'failed|errors?')" \
        "$(count "$log" skipped)" $((SECONDS - begin)))$result
done
printf '\n%s\n' "$table"
exit $bad
