#!/usr/bin/python3
"""hnswlib_bench.py -- hnswlib in process, one thread, on the rows that bench.py measures.

Not a server: no SQL, no transactions, no disk. It says what the graph costs without them, so that
a query through SQL can be set beside it.

    hnswlib_bench.py --made 1000000 --ef 40 80 120 200 400 --work build/bench

hnswlib is Debian's python3-hnswlib, or whichever module PYTHONPATH finds first; the head says
which, since Debian's is built for any x86-64 (SSE) and a build with pip for the machine it is on.
"""
import argparse
import importlib.metadata
import os
import statistics
import time

import hnswlib
import numpy as np

import data
import report

SPACES = {"l2": "l2", "ip": "ip", "cosine": "cosine"}
SEED = 100
ADD_ROWS = 50_000           # of one call, so that mapped rows need not fit memory twice


def main():
    args = parse_arguments()
    os.makedirs(args.work, exist_ok=True)
    rows = data.from_arguments(args)
    queries = rows.queries["queries"]
    truth = data.truth_of(rows, "queries", args.metric, max(args.k), args.work)
    index, seconds = load_or_build(args, rows)
    facts = report.machine_facts() + [
        ("hnswlib", f"{version()}, {hnswlib.__file__}, "
                    + ("AVX" if has_avx() else "SSE only")),
        ("data", f"{rows.about}, {args.metric}"),
        ("index", f"M = {args.m}, ef_construction = {args.ef_construction}, "
                  + (f"built in {seconds:.1f} s, {args.build_threads} threads" if seconds
                     else "kept"))]
    print(report.facts_text(facts), flush=True)
    index.set_num_threads(1)
    print("\n" + report.table([measure(args, rows, queries, truth, index, ef, k)
                               for k in args.k for ef in args.ef]))


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data.add_arguments(p)
    p.add_argument("--work", default="build/bench", help="folder of rows, truth and built graphs")
    p.add_argument("--m", type=int, default=16)
    p.add_argument("--ef-construction", type=int, default=64)
    p.add_argument("--build-threads", type=int, default=os.cpu_count())
    p.add_argument("--ef", type=int, nargs="+", default=[10, 20, 40, 80, 120, 200, 400])
    p.add_argument("--k", type=int, nargs="+", default=[10])
    p.add_argument("--seconds", type=float, default=5, help="of one round")
    p.add_argument("--rounds", type=int, default=3, help="medians of so many")
    args = p.parse_args()
    if args.metric not in SPACES:
        p.error(f"hnswlib has {', '.join(SPACES)}")
    return args


def version():
    try:
        return importlib.metadata.version("hnswlib")
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def has_avx():
    """Whether the module's machine code has a VEX-encoded load of 256 bits (vmovups ymm)."""
    with open(hnswlib.__file__, "rb") as f:
        return b"\xc5\xfc\x10" in f.read()


def load_or_build(args, rows):
    """The graph, kept in `work` by what it was made of; and the seconds, None if it was kept."""
    path = os.path.join(args.work, f"hnswlib-{version()}-{rows.key}-{args.metric}"
                                   f"-m{args.m}-efc{args.ef_construction}.bin")
    index = hnswlib.Index(space=SPACES[args.metric], dim=rows.dim)
    if os.path.exists(path):
        index.load_index(path)
        return index, None
    index.init_index(max_elements=len(rows.rows), M=args.m, ef_construction=args.ef_construction,
                     random_seed=SEED)
    start = time.monotonic()
    for at in range(0, len(rows.rows), ADD_ROWS):
        part = rows.chunk(at, at + ADD_ROWS)
        index.add_items(part, np.arange(at, at + len(part)), num_threads=args.build_threads)
    seconds = time.monotonic() - start
    index.save_index(path + ".part")
    os.rename(path + ".part", path)
    return index, seconds


def measure(args, rows, queries, truth, index, ef, k):
    """One line: recall of all queries, and queries/s of them in one thread."""
    index.set_ef(max(ef, k))
    ids, _ = index.knn_query(queries, k=k, num_threads=1)
    judged = data.score(rows, queries, args.metric, truth, ids.astype(np.int64), k)
    speeds = []
    for _ in range(args.rounds):
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < args.seconds:
            index.knn_query(queries, k=k, num_threads=1)
            done += len(queries)
        speeds.append(done / (time.perf_counter() - start))
    qps = statistics.median(speeds)
    return {"k": str(k), "ef": str(max(ef, k)), "recall": f"{judged['recall']:.4f}",
            "+-": f"{2 * judged['recall_error']:.4f}", "q/s": f"{qps:,.0f}",
            "mean us": f"{1e6 / qps:.0f}"}


if __name__ == "__main__":
    main()
