#!/usr/bin/python3
"""matrix.py -- recall of hnsw at the same ef_search on two servers, over data sets and metrics.

Not speed. It answers one question: does ef_search mean what a user of the peer expects? A cell is
a data set under a metric; in each, ef 10, 40, 100, 200 are tried with LIMIT 10 and LIMIT 100, and a
line is marked where our recall is more than half a point below the peer's.

    matrix.py --dsn '...' --peer '...' --shared FOLDER               all cells
    matrix.py --dsn '...' --shared FOLDER --cells mnist:l2 'made:*'  the peer's figures from --work

Databases are made as "matrix" on each server (name one in the dsn for another). The peer's answers
are kept under --work and asked for only once. Cells that need FOLDER's files are left out without it.
"""
import argparse
import fnmatch
import os
import sys

import numpy as np

import data
import pq
import report
from target import Target

EFS = (10, 40, 100, 200)
LIMITS = (10, 100)
TOLERANCE = 0.005           # half a point of recall
SEED = 20240601

# metric of a cell: (operator's metric, sigma of log-normal norms or None for the rows as they are)
METRICS = {"l2": ("l2", None), "cosine": ("cosine", None), "l1": ("l1", None),
           "ip0.5": ("ip", 0.5), "ip1": ("ip", 1.0)}


def main():
    args = parse_arguments()
    os.makedirs(args.work, exist_ok=True)
    lines = []
    try:
        for cell in chosen_cells(args):
            lines += measure_cell(args, *cell)
    except pq.Error as error:
        print(f"matrix: {error}", file=sys.stderr)
    if lines:
        print("\n" + report.table(lines))
    low = [line for line in lines if line["low"]]
    print(f"\n{len(lines)} lines, {len(low)} of them more than {100 * TOLERANCE:g} point low")
    sys.exit(1 if low or not lines else 0)


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--dsn", help="server under test; without it only the peer is measured")
    p.add_argument("--peer", metavar="DSN", help="the other; without it: what is kept in --work")
    p.add_argument("--shared", help="folder of the real data sets")
    p.add_argument("--work", default="build/bench", help="folder of rows, truth and the peer's answers")
    p.add_argument("--cells", nargs="+", default=["*"], metavar="DATA:METRIC",
                   help="patterns; data: " + " ".join(SETS) + "; metrics: " + " ".join(METRICS))
    p.add_argument("--rows", type=int, default=60_000, help="at most so many of a data set")
    p.add_argument("--made", type=int, default=50_000, help="number of made rows")
    p.add_argument("--nq", type=int, default=400, help="at most so many queries")
    p.add_argument("--m", type=int, default=16)
    p.add_argument("--ef-construction", type=int, default=64)
    p.add_argument("--ef", type=int, nargs="+", default=EFS)
    p.add_argument("--options", default="", help="further options of our index: bits = 6, ...")
    p.add_argument("--again", action="store_true", help="measure the peer even if it was before")
    args = p.parse_args()
    if not args.dsn and not args.peer:
        p.error("give --dsn, --peer or both")
    return args


# ---- data sets ----

def npz(args, folder, name):
    return os.path.join(args.shared, folder, name)


def mnist(args, dims=None):
    d = data.from_file("mnist:" + npz(args, "mnist", "mnist_784_u8.npz"), limit_rows=args.rows,
                       nq=args.nq)
    return d if dims is None else pca(d, dims)


def pca(d, dims):
    """The rows' first principal components, for rows and queries."""
    x = np.asarray(d.rows, dtype=np.float32)
    mean = x.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((x - mean).T.astype(np.float64)))
    axes = vectors[:, ::-1][:, :dims].astype(np.float32)
    return data.DataSet(f"{d.key}-pca{dims}", (x - mean) @ axes,
                        {"queries": (d.queries["queries"] - mean) @ axes},
                        f"{d.about}, {dims} principal components")


def ada(args):
    """Queries are rows that are not zero; the zero rows stay among the rows."""
    x = data.read_array(npz(args, "openai_ada2_1536", ada_file(args)), None,
                        ("vectors", "rows", "train"))
    x = np.asarray(x, dtype=np.float32)
    whole = np.flatnonzero(np.abs(x).sum(axis=1) > 0)
    picked = np.random.default_rng(SEED).permutation(whole)[:100]
    rest = np.setdiff1d(np.arange(len(x)), picked)
    return data.DataSet(f"ada-{len(rest)}x{x.shape[1]}", x[rest], {"queries": x[picked]},
                        f"ada: {len(rest)} x {x.shape[1]}, {len(picked)} queries held out")


def ada_file(args):
    return next(f for f in sorted(os.listdir(os.path.join(args.shared, "openai_ada2_1536")))
                if f.endswith(".npz"))


SETS = {
    "mnist": mnist,
    "bge": lambda a: data.from_file("bge:" + npz(a, "bge_base_768_dev", "vectors_f32.npz"),
                                    holdout=a.nq, limit_rows=a.rows),
    "mnist8": lambda a: mnist(a, 8),
    "mnist32": lambda a: mnist(a, 32),
    "mnist128": lambda a: mnist(a, 128),
    "ada": ada,
    "made": lambda a: data.made(min(a.made, a.rows), a.work, nq=a.nq),
}


def with_norms(d, sigma):
    """Rows of unit length times log-normal numbers: what inner product is asked about."""
    x = np.asarray(d.rows, dtype=np.float32)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    factor = np.random.default_rng(SEED).lognormal(0, sigma, (len(x), 1)).astype(np.float32)
    return data.DataSet(f"{d.key}-norms{sigma:g}", x / np.where(length > 0, length, 1) * factor,
                        d.queries, f"{d.about}, norms exp({sigma:g} N(0, 1))")


def chosen_cells(args):
    """(name, data set, metric) of each cell asked for; cells of one table follow each other."""
    for name, make in SETS.items():
        metrics = [m for m in METRICS
                   if any(fnmatch.fnmatch(f"{name}:{m}", pattern) for pattern in args.cells)]
        if not metrics:
            continue
        if not args.shared and name != "made":
            print(f"{name}: left out, no --shared", flush=True)
            continue
        base = make(args)
        for m in metrics:
            metric, sigma = METRICS[m]
            yield f"{name}:{m}", base if sigma is None else with_norms(base, sigma), metric


# ---- a cell ----

def measure_cell(args, name, rows, metric):
    queries = rows.queries["queries"]
    truth = data.truth_of(rows, "queries", metric, max(LIMITS), args.work)
    kept = os.path.join(args.work, f"matrix-{rows.key}-{metric}-{len(queries)}q-m{args.m}"
                                   f"-efc{args.ef_construction}.npz")
    here = {}
    if os.path.exists(kept) and not args.again:
        with np.load(kept) as z:
            here = dict(z)
    if args.peer and any(key(ef, k) not in here for ef in args.ef for k in LIMITS):
        here = answers(args, "peer", args.peer, "vector", "", rows, metric, truth)
        np.savez(kept, **here)
    mine = {}
    if args.dsn:
        mine = answers(args, "ours", args.dsn, "auto", args.options, rows, metric, truth)
    lines = [compare(name, ef, k, mine.get(key(ef, k)), here.get(key(ef, k)))
             for k in LIMITS for ef in args.ef]
    for line in lines:
        print("  ".join(f"{k} {v}" for k, v in line.items() if v), flush=True)
    return lines


def key(ef, k):
    return f"ef{ef}k{k}"


def answers(args, name, dsn, extension, options, rows, metric, truth):
    """{key: recall of each query} on one server, whose index it builds."""
    more = f", {options}" if options else ""
    index = (f"hnsw (embedding vector_{metric}_ops) WITH (m = {args.m},"
             f" ef_construction = {args.ef_construction}{more})")
    dsn = dsn if "dbname=" in dsn else dsn + " dbname=matrix"
    t = Target(name, dsn, extension, metric, index, [], args.work)
    t.load(rows, "default")
    t.build("1GB", 1)
    queries = rows.queries["queries"]
    found = {}
    for ef in args.ef:
        effort = [f"hnsw.ef_search={ef}"]
        if not t.plan_uses_index([*effort, "enable_seqscan=off"]):
            raise pq.Error(f"{name}: the plan is not an index scan")
        for k in LIMITS:
            ids, _ = t.answers([*effort, "enable_seqscan=off"], "queries", len(queries), k)
            found[key(ef, k)] = data.recalls(rows, queries, metric, truth, ids, k)
    return found


def compare(name, ef, k, ours, peer):
    """One line; "low" says by how many points ours is below the peer, and +- how sure that is."""
    line = {"cell": name, "LIMIT": str(k), "ef": str(ef),
            "ours": f"{ours.mean():.4f}" if ours is not None else "-",
            "peer": f"{peer.mean():.4f}" if peer is not None else "-", "points": "", "+-": "",
            "low": ""}
    if ours is not None and peer is not None:
        gap = ours - peer
        line["points"] = f"{100 * gap.mean():+.2f}"
        line["+-"] = f"{200 * gap.std() / len(gap) ** 0.5:.2f}"
        if gap.mean() < -TOLERANCE:
            line["low"] = "LOW"
    return line


if __name__ == "__main__":
    main()
