#!/usr/bin/python3
"""bench.py -- measures an index through SQL: build, size, recall, speed, and a peer beside it.

README.md in this folder says how to run it and what each figure means. This file is the plan
of a run; data.py makes rows and judges answers, target.py talks to a server, report.py prints.
"""
import argparse
import json
import os
import statistics
import sys
from itertools import zip_longest

import data
import pq
import report
from target import Target

JUDGED_LIMIT = 10


def main():
    args = parse_arguments()
    os.makedirs(args.work, exist_ok=True)
    try:
        run(args)
    except pq.Error as error:
        sys.exit(f"bench: {error}")


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--dsn", required=True, help="server under test; makes its database if absent")
    p.add_argument("--extension", default="auto", help="vecpg or vector (default: what is there)")
    p.add_argument("--work", default="build/bench", help="folder of made rows and truth")
    data.add_arguments(p)
    d = p.add_argument_group("tables")
    d.add_argument("--storage", default="default", help="of the vector columns: plain, ...")
    d.add_argument("--reload", action="store_true", help="load items even if they are there")
    i = p.add_argument_group("index")
    i.add_argument("--index", default="keep", help="what follows USING; keep: the one there is")
    i.add_argument("--build-memory", default="8GB", help="maintenance_work_mem of builds")
    i.add_argument("--build-workers", type=int, default=1, help="beside the leader")
    i.add_argument("--builds", type=int, default=1, help="build so often, report the median")
    m = p.add_argument_group("measuring")
    m.add_argument("--effort", nargs="+", action="extend", metavar="'NAME=VALUE ...'",
                   help="session settings, one argument per point; default: none")
    m.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
                   help="settings of every session, on both servers")
    m.add_argument("--recall-100", action="store_true", help="recall@100 with LIMIT 100 too")
    m.add_argument("--clients", type=int, nargs="+", default=[1, 2])
    m.add_argument("--seconds", type=int, default=5, help="of one pgbench round")
    m.add_argument("--rounds", type=int, default=3, help="medians of so many")
    m.add_argument("--trace-queries", type=int, default=1000)
    m.add_argument("--until", choices=("load", "build", "recall", "speed"), default="speed")
    m.add_argument("--at", type=float, nargs="+", default=[0.95, 0.99],
                   help="recalls to compare at")
    m.add_argument("--json", metavar="FILE", help="the figures, for other programs")
    o = p.add_argument_group("peer")
    o.add_argument("--peer", metavar="DSN", help="second server, measured in turn with the first")
    o.add_argument("--peer-extension", default="vector")
    o.add_argument("--peer-index", default="keep")
    o.add_argument("--peer-storage", help="default: as --storage")
    o.add_argument("--peer-effort", nargs="+", action="extend", metavar="'NAME=VALUE ...'")
    return p.parse_args()


def run(args):
    facts = report.machine_facts()
    rows = data.from_arguments(args)
    sides = [Side(Target("ours" if args.peer else "server", args.dsn, args.extension, args.metric,
                         args.index, args.set, args.work), args.effort, args.storage)]
    if args.peer:
        sides.append(Side(Target("peer", args.peer, args.peer_extension, args.metric,
                                 args.peer_index, args.set, args.work), args.peer_effort,
                          args.peer_storage or args.storage))
    for side in sides:
        facts += side.target.facts() + [(f"{side.target.name} storage", side.storage)]
    facts.append(("data", f"{rows.about}, {args.metric}"))
    print(report.facts_text(facts), flush=True)
    result = {"facts": dict(facts)}

    for side in sides:
        seconds = side.target.load(rows, side.storage, args.reload)
        say(f"{side.target.name}: " + ("items were loaded already" if seconds is None
                                       else f"loaded in {seconds:.1f} s"))
    if args.until != "load":
        result["builds"] = build(args, sides)
    if args.until in ("recall", "speed"):
        measure_recall(args, sides, rows)
    if args.until == "speed":
        measure_speed(args, sides, rows)
    if args.until in ("recall", "speed"):
        result["points"] = print_results(args, sides, rows)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(result, f, indent=1)


class Side:
    """A server with its list of efforts and what was measured at each."""

    def __init__(self, target, efforts, storage):
        self.target, self.storage = target, storage
        self.points = [Point(e) for e in efforts or [""]]
        self.floor, self.distance, self.parameter = {}, {}, None


class Point:
    """One effort: its settings, its scores, and {clients: median figures of the rounds}."""

    def __init__(self, effort):
        self.settings = [] if effort in ("", "default") else effort.split()
        self.name = " ".join(self.settings) or "default"
        self.scores, self.counts, self.inside, self.speed = {}, {}, {}, {}


def build(args, sides):
    """Builds each side's index unless it is kept; prints times and sizes."""
    rows, results = [], {}
    for side in sides:
        t = side.target
        runs = [] if t.index == "keep" else [t.build(args.build_memory, args.build_workers)
                                             for _ in range(args.builds)]
        table_bytes, index_bytes = t.sizes()
        if index_bytes is None:
            raise pq.Error(f"{t.name} has no index {t.index!r}: give --index or --peer-index")
        seconds = statistics.median(r[0] for r in runs) if runs else None
        peaks = [r[1] for r in runs if r[1]]
        results[t.name] = {"seconds": seconds, "index_bytes": index_bytes,
                           "table_bytes": table_bytes, "index": t.index_definition()}
        rows.append({"server": t.name, "index": t.index_definition(),
                     "build": f"{seconds:.1f} s" if runs else "kept",
                     "index size": report.size(index_bytes),
                     "table size": report.size(table_bytes),
                     "private memory": report.size(max(peaks) if peaks else None)})
    print(f"\nBuild (maintenance_work_mem {args.build_memory}, leader + {args.build_workers})\n")
    print(report.table(rows))
    if len(sides) == 2:
        mine, other = (results[s.target.name] for s in sides)
        times = (f"{other['seconds'] / mine['seconds']:.1f} times faster to build, "
                 if mine["seconds"] and other["seconds"] else "")
        print(f"\nours: {times}1/{other['index_bytes'] / mine['index_bytes']:.1f} of the size")
    sys.stdout.flush()
    return results


def measure_recall(args, sides, rows):
    depth = 100 if args.recall_100 else JUDGED_LIMIT
    limits = sorted({JUDGED_LIMIT, depth})
    for name, queries in rows.queries.items():
        say(f"exact neighbours of {name} ...")
        truth = data.truth_of(rows, name, args.metric, depth, args.work)
        for side in sides:
            for point in side.points:
                if not side.target.plan_uses_index(point.settings):
                    say(f"WARNING {side.target.name}, {point.name}: the plan is not an index scan")
                for limit in limits:
                    ids, counts = side.target.answers(point.settings, name, len(queries), limit)
                    point.scores[name, limit] = data.score(rows, queries, args.metric, truth, ids,
                                                           limit)
                    if (name, limit) == ("queries", JUDGED_LIMIT):
                        point.counts = counts
                say(f"{side.target.name}, {point.name}: recall"
                    f" {point.scores[name, JUDGED_LIMIT]['recall']:.4f}")


def measure_speed(args, sides, rows):
    """Rounds in which the sides alternate, effort by effort; medians over the rounds."""
    for side in sides:
        say(f"{side.target.name}: {side.target.warm()}")
    count = len(rows.queries["queries"])
    scripts = [side.target.scripts(count, len(rows.rows)) for side in sides]
    samples = {}
    for turn in range(args.rounds):
        for clients in args.clients:
            for what, indexes in turn_plan(sides):
                side, script = sides[indexes[0]], scripts[indexes[0]][what]
                point = side.points[indexes[1]]
                figures = side.target.speed(script, point.settings, clients, args.seconds, turn + 1)
                samples.setdefault((what, *indexes, clients), []).append(figures)
        say(f"round {turn + 1} of {args.rounds} done")
    for (what, s, e, clients), runs in samples.items():
        median = {name: statistics.median(r[name] for r in runs) for name in runs[0]}
        side = sides[s]
        {"query": side.points[e].speed, "floor": side.floor,
         "distance": side.distance}[what][clients] = median
    for side in sides:
        for point in side.points:
            point.inside = side.target.inside(point.settings, args.trace_queries, count,
                                              len(rows.rows))
    for side in sides:
        try:
            side.parameter = side.target.parameter_times(side.points[0].settings,
                                                         rows.queries["queries"])
        except pq.Error as error:
            say(f"{side.target.name}: binary parameter left out: {error}")


def turn_plan(sides):
    """(script, (side, effort)) in the order of one turn: floor, distance in list, then efforts."""
    for what in ("floor", "distance"):
        for s in range(len(sides)):
            yield what, (s, 0)
    for efforts in zip_longest(*(range(len(side.points)) for side in sides)):
        for s, e in enumerate(efforts):
            if e is not None:
                yield "query", (s, e)


def print_results(args, sides, rows):
    print("\nSearch, LIMIT 10\n")
    print(report.table([search_row(args, side, point, rows)
                        for side in sides for point in side.points]))
    if args.until == "speed":
        print_variants(sides)
        print_splits(sides)
        if len(sides) == 2:
            print("\nAt equal recall\n")
            curves = [{c: [(p.scores["queries", JUDGED_LIMIT]["recall"], p.speed[c]["qps"])
                           for p in side.points] for c in args.clients} for side in sides]
            print(report.table(report.ratios(*curves, args.at)))
    return [{"server": side.target.name, "effort": point.name, "speed": point.speed,
             "counts": point.counts, "inside": point.inside,
             "scores": {f"{n}@{k}": v for (n, k), v in point.scores.items()}}
            for side in sides for point in side.points]


def search_row(args, side, point, rows):
    judged = point.scores["queries", JUDGED_LIMIT]
    row = {"server": side.target.name, "effort": point.name,
           "recall@10": f"{judged['recall']:.4f}", "+-": f"{2 * judged['recall_error']:.4f}"}
    if args.recall_100:
        row["recall@100"] = f"{point.scores['queries', 100]['recall']:.4f}"
    if "queries_other" in rows.queries:
        row[f"s={args.query_s:g}"] = f"{point.scores['queries_other', JUDGED_LIMIT]['recall']:.4f}"
    for name, title in (("unordered", "out of order"), ("short", "short"), ("duplicates", "twice")):
        row[title] = str(sum(score[name] for score in point.scores.values()))
    row["heap rows"] = f"{point.counts['heap_rows']:.1f}"
    row["index pages"] = f"{point.counts['index_pages']:.0f}"
    row["TOAST pages"] = f"{point.counts['toast_pages']:.0f}"
    for clients, figures in point.speed.items():
        row[f"q/s {clients}c"] = f"{figures['qps']:,.0f}"
        row[f"p50 us {clients}c"] = f"{figures['p50']:.0f}"
        row[f"p99 us {clients}c"] = f"{figures['p99']:.0f}"
    if point.speed:
        clients = min(point.speed)
        row["x floor"] = f"{point.speed[clients]['mean'] / side.floor[clients]['mean']:.2f}"
    return row


def print_variants(sides):
    rows = []
    for side in sides:
        for what, figures in (("SQL floor", side.floor), ("distance in the list", side.distance)):
            row = {"server": side.target.name, "what": what}
            for clients, f in figures.items():
                row[f"q/s {clients}c"] = f"{f['qps']:,.0f}"
                row[f"mean us {clients}c"] = f"{f['mean']:.0f}"
            rows.append(row)
    print(f"\nFloor and variants (at each side's first effort)\n\n{report.table(rows)}")
    for side in sides:
        if side.parameter:
            print(f"\n{side.target.name}: binary parameter {side.parameter['parameter']:.0f} us, "
                  f"subselect {side.parameter['subselect']:.0f} us "
                  "(this program's own client, median)")


def print_splits(sides):
    """Where a query's microseconds go, and what it touched, as far as the server tells.

    Of pgbench's mean, what the statement does not take within the server is the protocol's and
    the client's. The scan times its own parts; what is left after these and after the floor of
    the same loop is the executor's: recheck of the order (heap and TOAST), and whatever else.
    """
    for side in sides:
        times, counts = [], []
        for p in side.points:
            parts = p.inside["parts"]
            rest = p.inside["query"] - p.inside["floor"] - sum(parts.values())
            client = p.speed[min(p.speed)]["mean"]
            times.append({"effort": p.name, "pgbench": f"{client:.0f}",
                          "protocol": f"{client - p.inside['query']:.0f}",
                          "SQL floor": f"{p.inside['floor']:.0f}",
                          **{c: f"{v:.1f}" for c, v in parts.items()},
                          "recheck, rest" if parts else "search, recheck, rest": f"{rest:.0f}"})
            counts.append({"effort": p.name,
                           **{c: f"{v:.1f}" for c, v in p.inside["counts"].items()}})
        print(f"\n{side.target.name}: a query's microseconds, mean, {min(side.floor)} client\n\n"
              + report.table(times))
        if side.target.has_last_scan:
            print(f"\n{side.target.name}: vecpg_last_scan(), means per query\n\n"
                  + report.table(counts))


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
