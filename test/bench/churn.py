#!/usr/bin/python3
"""churn.py -- replaces every row of a table again and again, and compares the index with new ones.

Not a stress test: the load is even, the figures are recall, size and speed. Clients take the rows in
random order; half of them get a new vector by UPDATE, half go and come back by DELETE and INSERT.
VACUUM follows whenever a tenth of the rows has been replaced (autovacuum comes at a fifth): with less
of it any index grows, since dead rows need their room until then. One more client searches all the
while; its answers must be complete. Any error is printed with its text and counted.

    churn.py --dsn '... dbname=churn' --rows 20000 --dims 128
    churn.py --dsn '...' --extension vector      pgvector's index in the same way
"""
import argparse
import os
import sys
import threading
import time

import numpy as np

import data
import pq
import report
from target import INDEX, Target

BATCH = 20                  # rows of one transaction
SEED = 20240701
# Two clients may come to rows of one page in different order.
ALLOWED = ("deadlock detected",)


class Log:
    """What the clients met."""

    def __init__(self):
        self.errors, self.searches, self.unordered = [], 0, 0


def main():
    args = parse_arguments()
    os.makedirs(args.work, exist_ok=True)
    try:
        sys.exit(0 if run(args) else 1)
    except pq.Error as error:
        sys.exit(f"churn: {error}")


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--dsn", required=True)
    p.add_argument("--extension", default="auto", help="vecpg or vector (default: what is there)")
    p.add_argument("--work", default="build/bench", help="folder of made rows and truth")
    p.add_argument("--rows", type=int, default=20_000)
    p.add_argument("--dims", type=int, default=128)
    p.add_argument("--s", type=float, default=1.0, help="spread of made rows")
    p.add_argument("--metric", choices=("l2", "ip", "cosine", "l1"), default="l2")
    p.add_argument("--index", help="what follows USING; default: hnsw with m 16, ef_construction 64")
    p.add_argument("--effort", nargs="+", action="extend", metavar="'NAME=VALUE ...'",
                   help="session settings, one argument per point; default: none, and ef 40")
    p.add_argument("--rounds", type=int, default=3, help="how often each row is replaced")
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--step", type=float, default=0.1, help="share of the rows between VACUUMs")
    p.add_argument("--builds", type=int, default=3, help="new indexes to compare with")
    p.add_argument("--nq", type=int, default=1000)
    p.add_argument("--memory", default="1GB", help="maintenance_work_mem")
    p.add_argument("--tolerance", type=float, default=0.01, help="recall that may be lost")
    p.add_argument("--growth", type=float, default=1.2, help="size that may be gained")
    return p.parse_args()


def run(args):
    index = args.index or f"hnsw (embedding vector_{args.metric}_ops) WITH (m = 16, ef_construction = 64)"
    efforts = [e.split() if e != "default" else []
               for e in args.effort or ("default", "hnsw.ef_search=40")]
    target = Target("server", args.dsn, args.extension, args.metric, index, [], args.work)
    # Rows of all rounds: round r's row of key i is number r * rows + i.
    pool = data.made((args.rounds + 1) * args.rows, args.work, args.s, args.dims, args.nq)
    prepare(target, pool, args)
    print(report.facts_text(report.machine_facts() + target.facts()
                            + [("rows", f"{args.rows:,} x {args.dims}, made, {args.metric}"),
                               ("index", index)]), flush=True)
    seconds, _ = target.build(args.memory, 1)
    lines = [state(target, pool, 0, efforts, args, "built", f"{seconds:.1f}")]
    log = Log()
    for turn in range(1, args.rounds + 1):
        lines.append(churn(target, pool, turn, efforts, args, log))
    churned = lines[-1]
    fresh = []
    for number in range(args.builds):
        seconds, _ = target.build(args.memory, 1)
        fresh.append(state(target, pool, args.rounds, efforts, args, f"new build {number + 1}",
                           f"{seconds:.1f}"))
    print("\n" + report.table([shown(line) for line in lines + fresh]))
    return verdict(args, churned, fresh, lines + fresh, log)


def prepare(target, pool, args):
    """Table pool holds all rows there will be; items the first of them."""
    with target.connect() as c:
        c.rows("DROP TABLE IF EXISTS items")
    target.load(pool, "default")
    with target.connect() as c:
        c.rows("DROP TABLE IF EXISTS pool")
        c.rows("ALTER TABLE items RENAME TO pool")
        c.rows("ALTER INDEX items_pkey RENAME TO pool_pkey")
        c.rows("CREATE TABLE items (LIKE pool)")
        c.rows(f"INSERT INTO items SELECT * FROM pool WHERE id < {args.rows}")
        c.rows("ALTER TABLE items ADD PRIMARY KEY (id)")
        c.rows("VACUUM (FREEZE, ANALYZE) items")


def churn(target, pool, turn, efforts, args, log):
    """One round, in steps with a VACUUM after each: a line of what was measured."""
    order = np.random.default_rng([SEED, turn]).permutation(args.rows)
    stop = threading.Event()
    searcher = threading.Thread(target=search, args=(target, args, stop, log))
    searcher.start()
    took, vacuum = [], 0.0
    try:
        for part in np.array_split(order, max(round(1 / args.step), 1)):
            took.append(replace_all(target, part, turn, args, log))
            start = time.monotonic()
            with target.connect() as c:
                c.rows(f"SET maintenance_work_mem = '{args.memory}'")
                c.rows("VACUUM items")
            vacuum += time.monotonic() - start
    finally:
        stop.set()
        searcher.join()
    speeds = [args.rows / len(took) / t for t in took]
    return state(target, pool, turn, efforts, args, f"round {turn}", f"{sum(took):.1f}",
                 {"rows/s": f"{args.rows / sum(took):,.0f}", "first step": f"{speeds[0]:,.0f}",
                  "last step": f"{speeds[-1]:,.0f}", "VACUUM s": f"{vacuum:.1f}"})


def replace_all(target, keys, turn, args, log):
    """All clients at once; seconds."""
    workers = [threading.Thread(target=replace, args=(target, keys[i::args.clients], turn, args,
                                                      log)) for i in range(args.clients)]
    start = time.monotonic()
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    return time.monotonic() - start


def replace(target, keys, turn, args, log):
    """A client: gives each of its keys the row of this round, some keys a transaction."""
    try:
        with target.connect() as c:
            for at in range(0, len(keys), BATCH):
                one_batch(c, keys[at:at + BATCH].tolist(), turn * args.rows, log)
    except pq.Error as error:
        log.errors.append(f"client: {error}")


def one_batch(c, keys, base, log):
    for _ in range(10):
        try:
            c.rows("BEGIN")
            update, renew = sorted(keys[::2]), sorted(keys[1::2])
            c.rows(f"UPDATE items SET embedding = p.embedding FROM pool p WHERE p.id = items.id + {base}"
                   f" AND items.id = ANY ('{{{listed(update)}}}')")
            c.rows(f"DELETE FROM items WHERE id = ANY ('{{{listed(renew)}}}')")
            c.rows(f"INSERT INTO items SELECT id - {base}, embedding FROM pool WHERE id = ANY"
                   f" ('{{{listed(k + base for k in renew)}}}')")
            c.rows("COMMIT")
            return
        except pq.Error as error:
            c.rows("ROLLBACK")
            if not any(text in str(error) for text in ALLOWED):
                log.errors.append(f"replacing: {error}")
                return
    log.errors.append("replacing: deadlock ten times over")


def listed(keys):
    return ",".join(map(str, keys))


def search(target, args, stop, log):
    """A client that asks until told to stop; answers must be full and without repeats.

    Their order is counted only: what a scan finds after its first step, which dead rows can use
    up, may come late.
    """
    try:
        with target.connect(["enable_seqscan=off", "enable_sort=off"]) as c:
            c.prepare("q", "SELECT n.id, n.d, count(*) OVER () FROM (SELECT embedding FROM queries WHERE"
                           f" id = $1) q, LATERAL (SELECT id, embedding {target.op} q.embedding AS d"
                           f" FROM items ORDER BY embedding {target.op} q.embedding LIMIT 10) n")
            number = 0
            while not stop.is_set():
                found = c.execute("q", [b"%d" % (number % args.nq)])
                number += 1
                d = [float(row[1]) for row in found]
                log.searches += 1
                log.unordered += d != sorted(d)
                if len(found) != 10 or len({row[0] for row in found}) != 10:
                    log.errors.append(f"search: {len(found)} rows, ids {[row[0] for row in found]}")
    except pq.Error as error:
        log.errors.append(f"search: {error}")


def state(target, pool, turn, efforts, args, what, seconds, speeds=None):
    """Recall at each effort, sizes, and what vecpg_check says of the index as it is now."""
    now = data.DataSet(f"{pool.key}-churn{args.rows}r{turn}",
                       pool.rows[turn * args.rows:(turn + 1) * args.rows], pool.queries, "")
    truth = data.truth_of(now, "queries", args.metric, 10, args.work)
    queries = now.queries["queries"]
    line = {"what": what, "seconds": seconds, "speeds": speeds or {}, "recall": {}}
    for effort in efforts:
        ids, _ = target.answers([*effort, "enable_seqscan=off"], "queries", len(queries))
        line["recall"][" ".join(effort) or "default"] = data.score(now, queries, args.metric, truth,
                                                                   ids, 10)
    table_bytes, line["bytes"] = target.sizes()
    line["table"] = table_bytes
    with target.connect() as c:
        line["problems"] = (c.rows(f"SELECT * FROM vecpg_check('{INDEX}', true)")
                            if target.has_last_scan else None)
    print(f"{what}: {seconds} s", file=sys.stderr, flush=True)
    return line


def shown(line):
    row = {"what": line["what"], "seconds": line["seconds"]}
    for effort, judged in line["recall"].items():
        row[effort] = f"{judged['recall']:.4f}"
    row.update(line["speeds"])
    row["faults"] = str(faults(line))
    row["index size"], row["table size"] = report.size(line["bytes"]), report.size(line["table"])
    row["vecpg_check"] = "-" if line["problems"] is None else str(len(line["problems"]))
    return row


def faults(line):
    """Answers out of order, short, or with a row twice."""
    return sum(judged[name] for judged in line["recall"].values()
               for name in ("unordered", "short", "duplicates"))


def verdict(args, churned, fresh, lines, log):
    """Prints what was promised and what came; True if all was kept."""
    good = True
    print()
    for effort, judged in churned["recall"].items():
        mean = sum(f["recall"][effort]["recall"] for f in fresh) / len(fresh)
        lost = mean - judged["recall"]
        good &= lost <= args.tolerance
        print(f"recall, {effort}: {judged['recall']:.4f}, new builds {mean:.4f}: "
              f"{100 * lost:+.2f} points lost (at most {100 * args.tolerance:g})")
    growth = churned["bytes"] / (sum(f["bytes"] for f in fresh) / len(fresh))
    good &= growth <= args.growth
    print(f"size: {growth:.2f} of a new build (at most {args.growth:g})")
    problems = [p for line in lines for p in line["problems"] or []]
    wrong = sum(map(faults, lines))
    print(f"vecpg_check: {len(problems)} problems; faulty answers: {wrong}; errors: {len(log.errors)}")
    print(f"beside the clients: {log.searches} searches, {log.unordered} of them out of order")
    for text in [str(p) for p in problems[:10]] + log.errors[:10]:
        print("    " + text)
    return good and not problems and not wrong and not log.errors


if __name__ == "__main__":
    main()
