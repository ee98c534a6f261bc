#!/bin/sh
# Runs what there is to check on this machine, from the bundle that bench/bundle.sh makes: run-gpu-checks.sh [RESULTS] [JAVA OPTIONS]
# writes RESULTS/report.json and report.md (by default ./results), and ends with 0 if all that was run passed. It needs an NVIDIA driver, and
# for some parts cuBLAS, compute-sanitizer, or a python3 with torch; what is missing is skipped, and said.
set -eu
results=$(realpath -m "${1:-results}")
[ $# -eq 0 ] || shift
cd "$(dirname "$(readlink -f "$0")")"
# Where the tests put what they unpack and compile, if there is no home to write to.
[ -w "${XDG_CACHE_HOME:-${HOME:-/nowhere}}" ] || export XDG_CACHE_HOME="$results/cache"
exec ./jre/bin/java --enable-native-access=ALL-UNNAMED "$@" -cp "lib/*" io.panoptim.bench.GpuChecks "$results"
