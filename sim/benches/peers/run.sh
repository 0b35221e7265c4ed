#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Peers on the reader's own machine, in one run: libCacheSim (the PyPI package), caches in Rust, ours.
#
#   sim/benches/peers/run.sh [REQUESTS]
#
# All get one thread. The caches get one Zipf trace over a million objects (libCacheSim reads its file
# while the clock runs, as it always does), we our own workload; what is compared is work per CPU
# second, not hit ratios: a cache reuses what it keeps, an expectation is consumed by its one match.
# Miss ratios stand there because two caches of one policy must agree. Exit 4: what is needed is
# not on this machine.
set -eu
cd "$(dirname "$0")/../../.."
root=$PWD
requests=${1:-2000000}
command -v python3 >/dev/null || { echo "python3 is missing" >&2; exit 4; }
venv=target/peers
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv" || { echo "python3-venv is missing" >&2; exit 4; }
fi
"$venv/bin/python" -c 'import libcachesim' 2>/dev/null ||
  "$venv/bin/pip" install --quiet libcachesim==0.3.5 ||
  { echo "libcachesim cannot be had from PyPI" >&2; exit 4; }
(cd sim/benches/peers/rust-caches && cargo build --release --quiet --target-dir "$root/target/peers/rust") ||
  { echo "the Rust caches cannot be had" >&2; exit 4; }
cargo build --release --quiet --package nfexp-sim --example throughput
echo "tool,policy,size,operations,cpu_seconds,millions_per_cpu_second,miss_ratio"
"$venv/bin/python" sim/benches/peers/libcachesim_peer.py "$requests" 10000 target/peers/trace.csv
target/peers/rust/release/rust-caches target/peers/trace.csv 10000
# Its last column, memory, is none of the heading's.
target/release/examples/throughput "$requests" | sed 's/,[0-9]*$/,/'
