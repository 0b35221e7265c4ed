#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Peers on the reader's own machine, in one run: libCacheSim (the PyPI package) beside ours.
#
#   sim/benches/peers/run.sh [REQUESTS]
#
# Both get one thread and one million objects' worth of a Zipf trace, or our own workload; what is
# compared is work per CPU second, not hit ratios: a cache reuses what it keeps, an expectation is
# consumed by its one match. Exit 4: what is needed is not on this machine.
set -eu
cd "$(dirname "$0")/../../.."
requests=${1:-2000000}
command -v python3 >/dev/null || { echo "python3 is missing" >&2; exit 4; }
venv=target/peers
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv" || { echo "python3-venv is missing" >&2; exit 4; }
fi
"$venv/bin/python" -c 'import libcachesim' 2>/dev/null ||
  "$venv/bin/pip" install --quiet libcachesim==0.3.5 ||
  { echo "libcachesim cannot be had from PyPI" >&2; exit 4; }
echo "tool,policy,size,operations,cpu_seconds,millions_per_cpu_second"
"$venv/bin/python" sim/benches/peers/libcachesim_peer.py "$requests"
cargo run --release --quiet --package nfexp-sim --example throughput -- "$requests"
