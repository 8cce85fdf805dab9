#!/usr/bin/python3
"""wal.py -- WAL and time of a row that is inserted, or updated beside its vector.

Not throughput: one session, one row a transaction, synchronous_commit off, so that the disk's flush
is not in the times. What is counted are records of the WAL that name the index, by pg_walinspect; so it
runs on PostgreSQL 15 and newer, as superuser, alone on its server, whose full_page_writes it turns off
and on again.

    wal.py --dsn '... dbname=wal' --peer '... dbname=wal'

Of an insert's records without full-page images the largest is the new node's own; the others are links
from other nodes to it, and whatever else the access method writes.
"""
import argparse
import os
import sys
import time

import numpy as np

import data
import pq
import report
from target import INDEX, Target, vector_bytes

SEED = 20240801
RECORDS = """
    WITH r AS (SELECT xid, record_length AS bytes, fpi_length AS image,
                      coalesce(block_ref, '') ~ 'rel [0-9]+/[0-9]+/{node} ' AS mine
               FROM pg_get_wal_records_info('{start}', pg_current_wal_flush_lsn())),
         own AS (SELECT max(bytes) AS bytes FROM r WHERE mine GROUP BY xid)
    SELECT coalesce(sum(bytes) FILTER (WHERE mine), 0), coalesce(sum(image) FILTER (WHERE mine), 0),
           count(*) FILTER (WHERE mine), sum(bytes),
           coalesce((SELECT sum(bytes) FROM own), 0) FROM r"""


def main():
    args = parse_arguments()
    os.makedirs(args.work, exist_ok=True)
    rows = data.made(args.rows + 4 * args.count, args.work, dims=args.dims, nq=1)
    sides = [("ours" if args.peer else "server", args.dsn, args.extension, args.index)]
    if args.peer:
        sides.append(("peer", args.peer, "vector", args.peer_index or args.index))
    lines, facts = [], report.machine_facts()
    try:
        for name, dsn, extension, index in sides:
            target = Target(name, dsn, extension, "l2", index, ["synchronous_commit=off"], args.work)
            facts += target.facts()
            lines += measure(target, rows, args)
    except pq.Error as error:
        sys.exit(f"wal: {error}")
    print(report.facts_text(facts + [("rows", f"{args.rows:,} x {args.dims}, made; {args.count} rows"
                                              " a line; bytes a row")]))
    for what in dict.fromkeys(line.pop("part") for line in [dict(line) for line in lines]):
        print(f"\n{what}\n\n" + report.table([{k: v for k, v in line.items() if k != "part"}
                                              for line in lines if line["part"] == what]))


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--dsn", required=True)
    p.add_argument("--peer", metavar="DSN", help="a second server, that has pgvector")
    p.add_argument("--extension", default="auto", help="vecpg or vector (default: what is there)")
    p.add_argument("--work", default="build/bench", help="folder of made rows")
    p.add_argument("--index", default="hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 64)")
    p.add_argument("--peer-index", help="default: as --index")
    p.add_argument("--rows", type=int, default=20_000)
    p.add_argument("--dims", type=int, default=768)
    p.add_argument("--count", type=int, default=1000, help="rows that are inserted or updated a line")
    return p.parse_args()


def measure(target, rows, args):
    """Lines of one server: inserts, then updates that may be HOT, then such as may not."""
    prepare(target, rows, args)
    key, line = args.rows, []
    for what, images, fresh, count in (
            ("no full-page images", False, False, args.count),
            ("from a checkpoint", True, True, args.count // 10),
            ("from a checkpoint", True, True, args.count),
            ("the rows after these", True, False, args.count)):
        line.append(step(target, "INSERT", what, images, fresh,
                         lambda c, a=key, n=count: insert(c, rows, a, n), count))
        key += count
    for kind in ("HOT", "not HOT"):
        if kind == "not HOT":
            with target.connect() as c:
                c.rows("CREATE INDEX items_note ON items (note)")
        for what, images in (("no full-page images", False), ("from a checkpoint", True)):
            with target.connect() as c:
                c.rows("VACUUM items")          # room on each page for the new versions
            line.append(step(target, f"UPDATE of another column, {kind}", what, images, images,
                             lambda c: update(c, args), args.count))
    return line


def prepare(target, rows, args):
    base = data.DataSet(rows.key, rows.rows[:args.rows], rows.queries, rows.about)
    target.load(base, "default", again=True)
    with target.connect() as c:
        c.rows("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        c.rows("COMMENT ON TABLE items IS NULL")
        c.rows("ALTER TABLE items ADD note int DEFAULT 0, SET (autovacuum_enabled = off, fillfactor = 50)")
        c.rows("VACUUM FULL items")
        c.rows("VACUUM (FREEZE, ANALYZE) items")
    target.build("1GB", 1)


def insert(c, rows, first, count):
    c.prepare("work", "INSERT INTO items VALUES ($1::bigint, $2::vector)")
    vectors = vector_bytes(rows.chunk(first, first + count))
    for i, vector in enumerate(vectors):
        c.execute("work", [(first + i).to_bytes(8, "big"), vector], binary=True)


def update(c, args):
    c.prepare("work", "UPDATE items SET note = note + 1 WHERE id = $1::bigint")
    for key in np.random.default_rng(SEED).permutation(args.rows)[:args.count].tolist():
        c.execute("work", [key.to_bytes(8, "big")], binary=True)


def step(target, part, what, images, fresh, work, count):
    """Does the work of `count` rows; a line of its WAL by part, in bytes a row."""
    with target.connect() as c:
        c.rows(f"ALTER SYSTEM SET full_page_writes = {'on' if images else 'off'}")
        c.rows("SELECT pg_reload_conf()")
        if fresh:
            c.rows("CHECKPOINT")
    hot = hot_updates(target)
    try:
        with target.connect() as c:
            c.rows("SELECT pg_sleep(0.1)")      # until the checkpointer has read the setting
            start = c.value("SELECT pg_current_wal_insert_lsn()")
            clock = time.perf_counter()
            work(c)
            clock = time.perf_counter() - clock
        with target.connect(["synchronous_commit=on"]) as c:
            c.rows("SELECT pg_logical_emit_message(true, 'wal.py', '')")    # its commit flushes all
            node = c.value(f"SELECT pg_relation_filenode('{INDEX}')")
            index, image, records, every, own = map(float, c.rows(
                RECORDS.format(node=node, start=start))[0])
    finally:
        with target.connect() as c:
            c.rows("ALTER SYSTEM RESET full_page_writes")
            c.rows("SELECT pg_reload_conf()")
    line = {"part": part, "server": target.name, "what": f"{what}, {count} rows",
            "us": f"{1e6 * clock / count:.0f}"}
    if part == "INSERT" and not images:
        line.update({"own node": per_row(own, count), "links": per_row(index - own, count)})
    elif part == "INSERT":
        line.update({"images": per_row(image, count), "records": per_row(index - image, count)})
    else:
        line["HOT"] = f"{100 * (hot_updates(target) - hot) / count:.0f} %"
    line.update({"index records": f"{records / count:.1f}", "index bytes": per_row(index, count),
                 "all bytes": per_row(every, count)})
    return line


def per_row(count, rows):
    return f"{count / rows:,.0f}"


def hot_updates(target):
    with target.connect() as c:
        c.rows("SELECT pg_sleep(0.1)")          # until an ended session's counters have come
        return int(c.value("SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'items'"))


if __name__ == "__main__":
    main()
