# SPDX-License-Identifier: GPL-2.0-only
"""libCacheSim on a seeded Zipf trace: CPU seconds by policy."""

import sys
import tempfile
import time

import libcachesim as lcs

REQUESTS = int(sys.argv[1])
OBJECTS, SIZE = 1_000_000, 10_000


def main():
    # The package's own generator; the trace is made before the clock starts.
    ids = list(
        lcs.SyntheticReader(
            num_of_req=REQUESTS, obj_size=1, alpha=1.0, dist="zipf", num_objects=OBJECTS, seed=1
        )
    )
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as trace:
        for at, request in enumerate(ids):
            trace.write(f"{at},{request.obj_id},1\n")
        trace.flush()
        for name in ("FIFO", "LRU", "S3FIFO", "Sieve"):
            columns = lcs.ReaderInitParam(has_header=False, delimiter=",")
            columns.time_field, columns.obj_id_field, columns.obj_size_field = 1, 2, 3
            reader = lcs.TraceReader(trace.name, lcs.TraceType.CSV_TRACE, columns)
            cache = getattr(lcs, name)(cache_size=SIZE)
            before = time.process_time()
            cache.process_trace(reader)
            spent = time.process_time() - before
            print(f"libcachesim,{name},{SIZE},{REQUESTS},{spent:.3f},{REQUESTS / spent / 1e6:.2f}")


main()
