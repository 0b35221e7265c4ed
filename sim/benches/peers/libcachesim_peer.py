# SPDX-License-Identifier: GPL-2.0-only
"""libCacheSim on a seeded Zipf trace: CPU seconds and miss ratio by policy.

libcachesim_peer.py REQUESTS SIZE TRACE: the trace is written first, for whoever comes after."""

import sys
import time

import libcachesim as lcs

REQUESTS, SIZE, TRACE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
OBJECTS = 1_000_000


def main():
    # The package's own generator; the trace is made before the clock starts.
    ids = lcs.SyntheticReader(
        num_of_req=REQUESTS, obj_size=1, alpha=1.0, dist="zipf", num_objects=OBJECTS, seed=1
    )
    with open(TRACE, "w") as trace:
        for at, request in enumerate(ids):
            trace.write(f"{at},{request.obj_id},1\n")
    for name in ("FIFO", "LRU", "S3FIFO", "Sieve"):
        columns = lcs.ReaderInitParam(has_header=False, delimiter=",")
        columns.time_field, columns.obj_id_field, columns.obj_size_field = 1, 2, 3
        reader = lcs.TraceReader(TRACE, lcs.TraceType.CSV_TRACE, columns)
        cache = getattr(lcs, name)(cache_size=SIZE)
        before = time.process_time()
        missed, _ = cache.process_trace(reader)
        spent = time.process_time() - before
        rate = REQUESTS / spent / 1e6
        print(f"libcachesim,{name},{SIZE},{REQUESTS},{spent:.3f},{rate:.2f},{missed:.4f}")


main()
