"""data.py -- data sets: files on disk, made rows, and their exact nearest neighbours.

Not the loader: server tables are target.py's. A data set is rows plus one or more sets of
queries, float32 (rows may stay in a smaller type or in a mapped file until they are used).
"""
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SEED = 20240229
MADE_BLOCK = 10_000         # rows of one random stream: the first N rows never depend on N
TRUTH_BLOCK = 8_192         # rows of one matrix product: 32 MB of scores at 1,000 queries
TRUTH_SPARE = 28            # candidates kept past k, so that float32 ties at k cannot lose one
FLOAT_SLACK = 1e-6          # relative rounding of a float32 distance of about 1,000 terms


class DataSet:
    """rows: array-like (n, dim); queries: {name: float32 array}; key: names it in caches."""

    def __init__(self, key, rows, queries, about):
        self.key, self.rows, self.queries, self.about = key, rows, queries, about
        self.dim = rows.shape[1]

    def chunk(self, start, stop):
        return np.ascontiguousarray(self.rows[start:stop], dtype=np.float32)


def from_file(spec, rows_name=None, queries_path=None, queries_name=None, holdout=0,
              limit_rows=None, nq=None):
    """[NAME:]PATH of .npz, .npy, .fvecs, .bvecs or .ivecs; README.md says how arrays are found."""
    name, path = _split_name(spec)
    rows = read_array(path, rows_name, ("train", "rows", "vectors", "base", "docs"))
    if holdout:
        picked = np.random.default_rng(SEED).permutation(len(rows))[:holdout]
        mask = np.ones(len(rows), dtype=bool)
        mask[picked] = False
        queries, rows = rows[np.sort(picked)], rows[mask]
    else:
        queries = read_array(queries_path or path, queries_name, ("test", "queries", "query"))
    rows = rows[:limit_rows] if limit_rows else rows
    queries = np.ascontiguousarray(queries[:nq] if nq else queries, dtype=np.float32)
    key = (name + (f"-{rows_name}" if rows_name else "") + f"-{len(rows)}x{rows.shape[1]}"
           + (f"-holdout{holdout}" if holdout else ""))
    about = f"{name}: {len(rows):,} x {rows.shape[1]}, {len(queries):,} queries"
    return DataSet(key, rows, {"queries": queries}, about + (" held out" if holdout else ""))


def read_array(path, name, usual_names):
    """The 2-D array of a file; `name` or one of `usual_names` picks it in an .npz."""
    if path.endswith(".npz"):
        with np.load(path) as archive:
            found = [n for n in ([name] if name else usual_names) if n in archive.files]
            if not found:
                raise SystemExit(f"{path} holds {archive.files}, none of them "
                                 f"{name or ', '.join(usual_names)}: name the array, or --holdout")
            return archive[found[0]]
    if path.endswith(".npy"):
        return np.load(path, mmap_mode="r")
    width, kind = {".fvecs": (4, "<f4"), ".ivecs": (4, "<i4"), ".bvecs": (1, "u1")}[path[-6:]]
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    dim = int(raw[:4].view("<i4")[0])
    return raw.reshape(-1, 4 + dim * width)[:, 4:].view(kind)


def made(count, work, s=1.0, dims=768, nq=1000, query_s=None):
    """Made rows: tanh network over a mixture of 300 Gaussians (README.md), kept in `work`.

    Queries are other draws of the same distribution; query_s adds a second set drawn wider.
    """
    key = f"made-{count}x{dims}-s{s:g}"
    path = os.path.join(work, key + ".npy")
    model = _MadeModel(dims)
    if not os.path.exists(path):
        out = np.lib.format.open_memmap(path + ".part", mode="w+", dtype=np.float32,
                                        shape=(count, dims))
        for block, start in enumerate(range(0, count, MADE_BLOCK)):
            part = model.draw(s, (1, block), MADE_BLOCK)
            out[start:start + MADE_BLOCK] = part[:count - start]
        out.flush()
        os.rename(path + ".part", path)
    queries = {"queries": model.draw(s, (2, 0), nq)}
    if query_s is not None:
        queries["queries_other"] = model.draw(query_s, (3, 0), nq)
    about = f"made rows: {count:,} x {dims}, s = {s:g}, {nq:,} queries of the same distribution"
    if query_s is not None:
        about += f", and {nq:,} with s = {query_s:g}"
    return DataSet(key, np.load(path, mmap_mode="r"), queries, about)


class _MadeModel:
    CENTRES, LATENT, UNITS = 300, 48, 256

    def __init__(self, dims):
        rng = np.random.default_rng([SEED, 0])
        self.dims = dims
        self.centres = rng.standard_normal((self.CENTRES, self.LATENT), dtype=np.float32)
        self.w1 = rng.standard_normal((self.LATENT, self.UNITS), dtype=np.float32)
        self.w2 = rng.standard_normal((self.UNITS, dims), dtype=np.float32)

    def draw(self, s, stream, count):
        rng = np.random.default_rng([SEED, *stream])
        which = rng.integers(0, self.CENTRES, count)
        z = self.centres[which] + np.float32(s) * rng.standard_normal(
            (count, self.LATENT), dtype=np.float32)
        x = np.tanh(z @ self.w1 / np.float32(self.LATENT ** 0.5)) @ self.w2 / np.float32(16)
        x += np.float32(0.02) * rng.standard_normal(x.shape, dtype=np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)


def add_arguments(parser):
    """The options that choose a data set, the same in every program here."""
    d = parser.add_argument_group("data")
    d.add_argument("--data", metavar="[NAME:]PATH", help=".npz, .npy, .fvecs, .bvecs or .ivecs")
    d.add_argument("--made", type=int, metavar="N", help="make N rows instead")
    d.add_argument("--rows-array", help="name of the rows in an .npz")
    d.add_argument("--queries", metavar="PATH", help="file of the queries, if another one")
    d.add_argument("--queries-array", help="name of the queries in an .npz")
    d.add_argument("--holdout", type=int, default=0, help="take this many rows out as queries")
    d.add_argument("--limit-rows", type=int, help="use the first so many rows of a file")
    d.add_argument("--nq", type=int, help="number of queries (default all; 1,000 for made rows)")
    d.add_argument("--s", type=float, default=1.0, help="spread of made rows")
    d.add_argument("--query-s", type=float, help="second set of made queries, drawn this wide")
    d.add_argument("--dims", type=int, default=768)
    d.add_argument("--metric", choices=("l2", "ip", "cosine", "l1"), default="l2")


def from_arguments(args):
    if bool(args.data) == bool(args.made):
        raise SystemExit("give one of --data and --made")
    if args.made:
        return made(args.made, args.work, args.s, args.dims, args.nq or 1000, args.query_s)
    return from_file(args.data, args.rows_array, args.queries, args.queries_array,
                     args.holdout, args.limit_rows, args.nq)


class Truth:
    """ids, dist: the k nearest of every query, ascending, (nq, k); distances in float64."""

    def __init__(self, ids, dist):
        self.ids, self.dist = ids, dist


def truth_of(data, queries_name, metric, k, work, threads=2):
    """Exact neighbours, from the cache in `work` or computed in blocks."""
    queries = data.queries[queries_name]
    mark = _fingerprint(queries)
    path = os.path.join(work, f"truth-{data.key}-{metric}-{mark}.npz")
    if os.path.exists(path):
        try:
            with np.load(path) as kept:
                if kept["ids"].shape[1] >= min(k, len(data.rows)):
                    return Truth(kept["ids"], kept["dist"])
        except (OSError, KeyError, zipfile.BadZipFile):
            os.remove(path)
    found = _nearest(data, queries, metric, min(k, len(data.rows)), threads)
    np.savez(path[:-4] + ".part.npz", ids=found.ids, dist=found.dist)
    os.rename(path[:-4] + ".part.npz", path)
    return found


def exact_distances(metric, queries, rows):
    """Operator's distance in float64: queries (q, d), rows (q, m, d); NaN where undefined."""
    q = queries.astype(np.float64)[:, None, :]
    x = rows.astype(np.float64)
    if metric == "l2":
        return np.sqrt(((x - q) ** 2).sum(axis=2))
    if metric == "l1":
        return np.abs(x - q).sum(axis=2)
    dot = (x * q).sum(axis=2)
    if metric == "ip":
        return -dot
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1.0 - dot / (np.linalg.norm(x, axis=2) * np.linalg.norm(q, axis=2))


def distances_of_ids(data, queries, metric, ids):
    """Distances (q, m) of row numbers `ids` (q, m); infinite where undefined or no row.

    Undefined (a zero vector under cosine) sorts after every number, as NaN does in SQL.
    """
    out = np.empty(ids.shape)
    for start in range(0, len(ids), 256):
        part = ids[start:start + 256]
        rows = np.asarray(data.rows[np.maximum(part, 0).ravel()], dtype=np.float32)
        rows = rows.reshape(*part.shape, data.dim)
        dist = exact_distances(metric, queries[start:start + 256], rows)
        out[start:start + 256] = np.where((part < 0) | np.isnan(dist), np.inf, dist)
    return out


def slack(metric, dist, queries):
    """How far apart two distances may be computed for equal ones, per entry of dist."""
    relative = FLOAT_SLACK * np.abs(np.where(np.isinf(dist), 0, dist))
    if metric in ("l2", "l1"):
        return relative
    scale = 1.0 if metric == "cosine" else np.linalg.norm(queries, axis=1, keepdims=True) ** 2
    return relative + FLOAT_SLACK * scale


def score(data, queries, metric, truth, ids, k):
    """Recall by distance and faults of the answers `ids` (q, k), -1 where a row is missing."""
    per_query, dist = _judge(data, queries, metric, truth, ids, k)
    depth = min(k, len(data.rows))
    fall = dist[:, 1:] < dist[:, :-1] - slack(metric, dist[:, :-1], queries)
    ordered = np.sort(ids, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    return {"recall": float(per_query.mean()),
            "recall_error": float(per_query.std() / max(len(ids), 1) ** 0.5),
            "worst": float(per_query.min()),
            "unordered": int(fall.any(axis=1).sum()),
            "short": int(((ids >= 0).sum(axis=1) < depth).sum()),
            "duplicates": int(twice.any(axis=1).sum())}


def recalls(data, queries, metric, truth, ids, k):
    """Recall of each query."""
    return _judge(data, queries, metric, truth, ids, k)[0]


def _judge(data, queries, metric, truth, ids, k):
    """Recall of each query, and the distances of the answers.

    A row counts as found when it is no farther than the k-th true neighbour: ties at k are
    as good as one another.
    """
    depth = min(k, len(data.rows))
    dist = distances_of_ids(data, queries, metric, ids)
    limit = truth.dist[:len(ids), depth - 1:depth]
    hits = (dist <= limit + slack(metric, limit, queries)) & (ids >= 0)
    return np.minimum(hits.sum(axis=1), depth) / depth, dist


def _nearest(data, queries, metric, k, threads):
    keep = min(k + TRUTH_SPARE, len(data.rows))
    starts = list(range(0, len(data.rows), TRUTH_BLOCK))
    stripes = [starts[i::threads] for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(lambda s: _scan(data, queries, metric, keep, s), stripes))
    ids = np.concatenate([p[0] for p in parts], axis=1)
    scores = np.concatenate([p[1] for p in parts], axis=1)
    ids, _ = _smallest(ids, scores, keep)
    dist = distances_of_ids(data, queries, metric, ids)
    order = np.argsort(dist, axis=1, kind="stable")[:, :k]
    return Truth(np.take_along_axis(ids, order, 1), np.take_along_axis(dist, order, 1))


def _scan(data, queries, metric, keep, starts):
    """The `keep` smallest scores of every query over the blocks at `starts`."""
    best_ids = np.empty((len(queries), 0), dtype=np.int64)
    best = np.empty((len(queries), 0), dtype=np.float32)
    for start in starts:
        x = data.chunk(start, start + TRUTH_BLOCK)
        scores = _scores(metric, queries, x)
        ids = np.broadcast_to(np.arange(start, start + len(x)), scores.shape)
        ids, scores = _smallest(ids, scores, keep)
        best_ids, best = _smallest(np.concatenate((best_ids, ids), axis=1),
                                   np.concatenate((best, scores), axis=1), keep)
    return best_ids, best


def _scores(metric, queries, x):
    """Float32 scores that order rows as the metric does (up to rounding)."""
    if metric == "l1":
        return np.stack([np.abs(x - q).sum(axis=1) for q in queries])
    if metric == "cosine":
        norm = np.linalg.norm(x, axis=1, keepdims=True)
        x = np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)
        scores = -(queries @ x.T)
        scores[:, norm[:, 0] == 0] = np.inf         # NaN distance: after every number
        return scores
    if metric == "ip":
        return -(queries @ x.T)
    return np.einsum("ij,ij->i", x, x) - 2 * (queries @ x.T)


def _smallest(ids, scores, keep):
    if scores.shape[1] <= keep:
        return ids, scores
    pick = np.argpartition(scores, keep - 1, axis=1)[:, :keep]
    return np.take_along_axis(ids, pick, 1), np.take_along_axis(scores, pick, 1)


def _fingerprint(queries):
    """Tells query sets apart in file names; not a checksum of the rows."""
    total = int(np.abs(queries.astype(np.float64)).sum() * 1000) & 0xffffffff
    return f"{len(queries)}q-{total:08x}"


def _split_name(spec):
    head, colon, tail = spec.partition(":")
    if colon and "/" not in head:
        return head, tail
    return os.path.splitext(os.path.basename(spec))[0], spec
