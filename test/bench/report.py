"""report.py -- what a run prints: machine facts, the table, ratios at equal recall.

Not the measuring. Everything is plain text that can be pasted into README.md as it is.
"""
import datetime
import math
import os
import re
import subprocess

CPU_FEATURES = re.compile(r"avx|fma|f16c|vnni|amx|asimd|sve|fp16")
BUSY_LOAD = 0.5             # runnable processes beside ours that make timings unfit to quote


def machine_facts():
    cpu, flags = "unknown", []
    for line in open("/proc/cpuinfo"):
        name, _, value = (part.strip() for part in line.partition(":"))
        if name in ("model name", "CPU part") and cpu == "unknown":
            cpu = value
        elif name in ("flags", "Features") and not flags:
            flags = [f for f in value.split() if CPU_FEATURES.search(f)]
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo")
                  if line.startswith("MemTotal"))
    load = os.getloadavg()[0]
    busy = "  (BUSY: do not quote the times)" if load > BUSY_LOAD else ""
    cflags = subprocess.run(["pg_config", "--cflags"], capture_output=True, text=True).stdout
    return [("date", datetime.datetime.now().strftime("%Y-%m-%d %H:%M")),
            ("cpu", f"{cpu}, {os.cpu_count()} cores, {memory / 2 ** 20:.0f} GiB"),
            ("features", " ".join(flags)),
            ("server flags", cflags.strip()),
            ("load at start", f"{load:.2f}{busy}")]


def facts_text(facts):
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts)


def table(rows):
    """Aligned text of dicts; a column appears if any row has it, in order of first sight."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[row.get(c, "") for c in columns] for row in rows]
    widths = [max(len(c), *(len(line[i]) for line in cells)) for i, c in enumerate(columns)]
    left = [i for i, c in enumerate(columns) if c in ("cell", "server", "effort", "index", "part", "what")]

    def line(values):
        return "| " + " | ".join(v.ljust(w) if i in left else v.rjust(w)
                                 for i, (v, w) in enumerate(zip(values, widths))) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if i in left else ":")
                          for i, w in enumerate(widths)) + "|"
    return "\n".join([line(columns), rule] + [line(values) for values in cells])


def size(count):
    return "-" if count is None else f"{count / 2 ** 20:,.0f} MB"


def speed_at(points, recall):
    """Best queries/s among efforts whose recall reaches `recall`, with that recall, or None."""
    reaching = [(qps, found) for found, qps in points if found >= recall]
    return max(reaching) if reaching else None


def speed_between(points, recall):
    """Queries/s at exactly `recall`, between the two neighbouring efforts; None outside.

    Straight in log(queries/s) over log(1 - recall): efforts that double make that nearly a line.
    """
    def miss(r):
        return math.log(max(1 - r, 1e-5))

    points = sorted(points)
    for (r0, q0), (r1, q1) in zip(points, points[1:]):
        if r0 <= recall <= r1:
            share = 0.0 if r1 == r0 else (miss(recall) - miss(r0)) / (miss(r1) - miss(r0))
            return math.exp(math.log(q0) + share * (math.log(q1) - math.log(q0)))
    return None


def ratios(ours, peers, targets):
    """Rows that compare queries/s: at each target recall, then at each recall of ours.

    ours, peers: {clients: [(recall, qps), ...]}.
    """
    rows = []
    for clients in ours:
        mine, other = ours[clients], peers[clients]
        for goal in targets:
            a, b = speed_at(mine, goal), speed_at(other, goal)
            rows.append(_ratio(f"smallest effort with recall >= {goal:g}", clients, a, b))
        for recall, qps in sorted(mine):
            between = speed_between(other, recall)
            rows.append(_ratio("peer interpolated at our recall", clients, (qps, recall),
                               between and (between, recall)))
    return rows


def _ratio(what, clients, ours, peer):
    return {"what": what, "clients": str(clients),
            "our recall": f"{ours[1]:.4f}" if ours else "not reached",
            "our q/s": f"{ours[0]:,.0f}" if ours else "-",
            "peer recall": f"{peer[1]:.4f}" if peer else "not reached",
            "peer q/s": f"{peer[0]:,.0f}" if peer else "-",
            "ratio": f"{ours[0] / peer[0]:.2f}" if ours and peer else "-"}
