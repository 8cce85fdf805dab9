"""target.py -- one server under test: its tables, its index, its answers, its speed.

Not the plan of a run (bench.py) nor the judgement of answers (data.py). Everything here works
on any extension that has pgvector's SQL surface, so that both sides of a comparison are
measured by the same lines.
"""
import glob
import os
import re
import subprocess
import threading
import time

import numpy as np

import pq

INDEX = "items_embedding_idx"
OPERATORS = {"l2": "<->", "ip": "<#>", "cosine": "<=>", "l1": "<+>"}
COPY_ROWS = 4_096           # rows of one COPY buffer: 12 MB at 768 dimensions
WARM_SHARE = 0.8            # of shared_buffers that prewarming may fill
STATS_WAIT = 3.0            # seconds until a closed session's counters must have arrived
ORDER_BY = "ORDER BY embedding {op} (SELECT embedding FROM {queries} WHERE id = {q})"
STATISTICS = """
    SELECT i.idx_scan, i.idx_tup_fetch, b.idx_blks_hit + b.idx_blks_read,
           coalesce(t.toast_blks_hit + t.toast_blks_read, 0)
    FROM pg_stat_user_indexes i
    JOIN pg_statio_user_indexes b USING (indexrelid)
    JOIN pg_statio_user_tables t ON t.relid = i.relid
    WHERE i.indexrelname = '{index}'"""
TIME_SUFFIX = "_us"         # vecpg_last_scan() names its times so
# Two loops: pgbench, too, runs one statement again and again. The keys are made off the clock.
INSIDE = """
    CREATE FUNCTION pg_temp.inside(n int, queries int, rows int, OUT floor_us float8, OUT query_us float8)
    LANGUAGE plpgsql AS $f$
    DECLARE
        keys bigint[];
        q int;
        start timestamptz;
    BEGIN
        floor_us := 0; query_us := 0;
        FOR i IN -n / 10 .. n - 1 LOOP
            q := floor(random() * queries);
            keys := ARRAY(SELECT floor(random() * rows) FROM generate_series(1, 10));
            start := clock_timestamp();
            {floor};
            IF i >= 0 THEN
                floor_us := floor_us + extract(epoch FROM clock_timestamp() - start) * 1e6 / n;
            END IF;
        END LOOP;
        FOR i IN -n / 10 .. n - 1 LOOP
            q := floor(random() * queries);
            start := clock_timestamp();
            {query};
            IF i >= 0 THEN
                query_us := query_us + extract(epoch FROM clock_timestamp() - start) * 1e6 / n;
                {note}
            END IF;
        END LOOP;
    END $f$"""


class Target:
    """name: for the report; index: what follows USING, or "keep"; settings: of every session."""

    def __init__(self, name, dsn, extension, metric, index, settings, work):
        self.name, self.dsn, self.index, self.work = name, dsn, index, work
        self.op, self.settings = OPERATORS[metric], list(settings)
        self._make_database()
        with self.connect() as c:
            if extension == "auto":
                known = c.value("SELECT 1 FROM pg_available_extensions WHERE name = 'vecpg'")
                extension = "vecpg" if known else "vector"
            c.rows(f"CREATE EXTENSION IF NOT EXISTS {extension}")
            self.version = extension + " " + c.value(
                f"SELECT extversion FROM pg_extension WHERE extname = '{extension}'")
            self.has_last_scan = c.value(
                "SELECT 1 FROM pg_proc WHERE proname = 'vecpg_last_scan'") is not None

    def connect(self, effort=()):
        return pq.Connection(self.dsn, ["client_min_messages=warning", *self.settings, *effort])

    # ---- tables ----

    def load(self, data, storage, again=False):
        """Loads items unless they are there already; queries always. Seconds, or None if kept."""
        mark = f"{data.key} storage={storage}"
        with self.connect() as c:
            here = c.value("SELECT obj_description(to_regclass('items'), 'pg_class')")
            seconds = None
            if again or here != mark:
                start = time.monotonic()
                self._load_items(c, data, storage)
                c.rows(f"COMMENT ON TABLE items IS {pq.quoted(mark)}")
                seconds = time.monotonic() - start
            for name, queries in data.queries.items():
                self._make_table(c, name, "int", data.dim, storage)
                c.copy_in(f"COPY {name} FROM STDIN (FORMAT binary)", _frames(
                    lambda a, b, rows=queries: rows[a:b], len(queries), data.dim, 4))
                c.rows(f"VACUUM (FREEZE, ANALYZE) {name}")
        return seconds

    def sizes(self):
        """Bytes of the table with its TOAST, and of the index (None without one)."""
        with self.connect() as c:
            table, index = c.rows(f"SELECT pg_table_size('items'),"
                                  f" pg_relation_size(to_regclass('{INDEX}'))")[0]
        return int(table), index and int(index)

    def _load_items(self, c, data, storage):
        self._make_table(c, "items", "bigint", data.dim, storage)
        c.copy_in("COPY items FROM STDIN (FORMAT binary)",
                  _frames(data.chunk, len(data.rows), data.dim, 8))
        c.rows("ALTER TABLE items ADD PRIMARY KEY (id)")
        c.rows("VACUUM (FREEZE, ANALYZE) items")

    @staticmethod
    def _make_table(c, name, key_type, dim, storage):
        key = "" if name == "items" else " PRIMARY KEY"
        c.rows(f"DROP TABLE IF EXISTS {name}")
        c.rows(f"CREATE TABLE {name} (id {key_type}{key}, embedding vector({dim}))")
        if storage != "default":
            c.rows(f"ALTER TABLE {name} ALTER embedding SET STORAGE {storage}")

    def _make_database(self):
        try:
            pq.Connection(self.dsn).close()
        except pq.Error as error:
            name = re.search(r'database "(.+)" does not exist', str(error))
            if not name:
                raise
            with pq.Connection(self.dsn + " dbname=postgres") as c:
                c.rows(f'CREATE DATABASE "{name.group(1)}"')

    # ---- index ----

    def build(self, memory, workers):
        """Builds the index anew. Returns seconds and the backend's peak private bytes."""
        with self.connect() as c:
            c.rows(f"DROP INDEX IF EXISTS {INDEX}")
            c.rows("CHECKPOINT")
            c.rows(f"SET maintenance_work_mem = '{memory}'")
            c.rows(f"SET max_parallel_maintenance_workers = {workers}")
            with _PeakMemory(int(c.value("SELECT pg_backend_pid()"))) as memory_seen:
                start = time.monotonic()
                c.rows(f"CREATE INDEX {INDEX} ON items USING {self.index}")
                seconds = time.monotonic() - start
        return seconds, memory_seen.peak

    def index_definition(self):
        with self.connect() as c:
            found = c.value(f"SELECT pg_get_indexdef(to_regclass('{INDEX}'))")
        return found and found.partition(" USING ")[2]

    def warm(self):
        """Reads index, heap and TOAST into shared buffers as far as they fit, in this order."""
        with self.connect() as c:
            try:
                c.rows("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
            except pq.Error:
                return "not prewarmed (no pg_prewarm)"
            room = WARM_SHARE * float(c.value(
                "SELECT setting::float8 * 8192 FROM pg_settings WHERE name = 'shared_buffers'"))
            done = []
            for what, oid in (("index", f"to_regclass('{INDEX}')"),
                              ("keys", "to_regclass('items_pkey')"),
                              ("heap", "'items'::regclass"),
                              ("TOAST", "(SELECT reltoastrelid FROM pg_class WHERE oid ="
                                        " 'items'::regclass)")):
                size = float(c.value(f"SELECT coalesce(pg_relation_size({oid}), 0)"))
                if size and size <= room:
                    c.rows(f"SELECT pg_prewarm({oid}::regclass)")
                    room -= size
                    done.append(what)
        return "prewarmed: " + ", ".join(done)

    # ---- answers ----

    def plan_uses_index(self, effort, limit=10):
        sql = self._query("0", limit)
        with self.connect(effort) as c:
            lines = [row[0] for row in c.rows("EXPLAIN " + sql)]
        return any(INDEX in line for line in lines)

    def answers(self, effort, queries, count, limit=10):
        """Row ids of every query (count, limit), -1 where none; and page counts per query."""
        ids = np.full((count, limit), -1, dtype=np.int64)
        before = self._statistics()
        with self.connect(effort) as c:
            c.prepare("search", self._query("$1", limit, queries))
            for q in range(count):
                found = c.execute("search", [b"%d" % q])
                ids[q, :len(found)] = [int(row[0]) for row in found]
        after = self._statistics(at_least=before[0] + count)
        scans = max(after[0] - before[0], 1)
        names = ("heap_rows", "index_pages", "toast_pages")
        return ids, dict(zip(names, [(b - a) / scans for a, b in zip(before[1:], after[1:])]))

    def inside(self, effort, count, query_count, row_count):
        """Where a query's time goes, measured within the server: microseconds and counters.

        {"floor", "query"}: means of the two statements, run `count` times each in a loop of one
        session. {"parts", "counts"}: means of what vecpg_last_scan() says under vecpg.trace, {}
        where it is absent. All in one loop, so that all find the processor in the same state.
        """
        floor, query = (sql.replace("$1", "q") for sql in (self.floor_query("keys", "$1"),
                                                           self._query("$1", 10)))
        with self.connect(effort) as c:
            note = ""
            if self.has_last_scan:
                c.rows("SET vecpg.trace = on")
                c.rows("CREATE TEMP TABLE scans AS SELECT * FROM vecpg_last_scan() LIMIT 0")
                note = "INSERT INTO scans SELECT * FROM vecpg_last_scan();"
            c.rows(INSIDE.format(floor=_perform(floor), query=_perform(query), note=note))
            times = c.rows(f"SELECT * FROM pg_temp.inside({count}, {query_count}, {row_count})")[0]
            parts, counts = {}, {}
            if self.has_last_scan:
                names = [row[0] for row in c.rows(
                    "SELECT attname FROM pg_attribute WHERE attrelid = 'scans'::regclass"
                    " AND attnum > 0 ORDER BY attnum")]
                means = c.rows("SELECT " + ", ".join(f"avg({n})" for n in names) + " FROM scans")[0]
                for name, mean in zip(names, means):
                    where = parts if name.endswith(TIME_SUFFIX) else counts
                    where[name.removesuffix(TIME_SUFFIX)] = float(mean or 0)
        return {"floor": float(times[0]), "query": float(times[1]), "parts": parts,
                "counts": counts}

    @staticmethod
    def floor_query(keys, q):
        """What SQL costs before any search: ten rows by key, and the query vector read.

        vector_dims reads it; in the list of columns it would be sent, ten times, as text.
        """
        return (f"SELECT id FROM items WHERE id = ANY ({keys}) AND vector_dims("
                f"(SELECT embedding FROM queries WHERE id = {q})) > 0")

    def _query(self, q, limit, queries="queries"):
        order = ORDER_BY.format(op=self.op, queries=queries, q=q)
        return f"SELECT id FROM items {order} LIMIT {limit}"

    def _statistics(self, at_least=0):
        """The index's counters once they show `at_least` scans, or what they show by then."""
        deadline = time.monotonic() + STATS_WAIT
        while True:
            with self.connect() as c:
                found = c.rows(STATISTICS.format(index=INDEX))
            numbers = [int(x) for x in found[0]] if found else [0, 0, 0, 0]
            if numbers[0] >= at_least or time.monotonic() > deadline:
                return numbers
            time.sleep(0.05)

    # ---- speed ----

    def scripts(self, query_count, row_count):
        """pgbench scripts by name: the judged query, the floor, the distance in the list."""
        pick = f"\\set q random(0, {query_count - 1})\n"
        keys = "".join(f"\\set k{i} random(0, {row_count - 1})\n" for i in range(10))
        array = "ARRAY[" + ", ".join(f":k{i}" for i in range(10)) + "]::bigint[]"
        subselect = "(SELECT embedding FROM queries WHERE id = :q)"
        return {
            "query": pick + self._query(":q", 10) + ";\n",
            "floor": pick + keys + self.floor_query(array, ":q") + ";\n",
            "distance": pick + f"SELECT id, embedding {self.op} {subselect} AS d FROM items"
                               " ORDER BY d LIMIT 10;\n",
        }

    def speed(self, script, effort, clients, seconds, seed):
        """One pgbench round: {"qps", "mean", "p50", "p99"}, times in microseconds."""
        path = os.path.join(self.work, f"script-{os.getpid()}.sql")
        prefix = path[:-len(".sql")]
        with open(path, "w") as f:
            f.write(script)
        options = pq.options_of([*self.settings, *effort])
        result = subprocess.run(
            ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(clients),
             "-T", str(seconds), "--random-seed", str(seed), "-f", path,
             "-l", "--log-prefix", prefix, self.dsn],
            env={**os.environ, "PGOPTIONS": options}, capture_output=True, text=True)
        logs = [name for name in glob.glob(prefix + ".*") if name != path]
        micros = np.array([int(line.split(None, 3)[2]) for log in logs for line in open(log)])
        for name in [path, *logs]:
            os.remove(name)
        qps = re.search(r"^tps = ([0-9.]+)", result.stdout, re.MULTILINE)
        if result.returncode != 0 or not qps or not len(micros):
            raise pq.Error(f"pgbench on {self.name}: {result.stderr.strip() or result.stdout}")
        return {"qps": float(qps.group(1)), "mean": micros.mean(),
                "p50": np.percentile(micros, 50), "p99": np.percentile(micros, 99)}

    def parameter_times(self, effort, queries, rounds=1000):
        """Median microseconds of the query by subselect and by binary parameter.

        pgbench cannot bind in binary, so both are taken with this program's own client, whose
        overhead is in both. They take different queries in turn: the second of two equal
        searches would find its pages in the processor's cache.
        """
        vectors = vector_bytes(queries)
        with self.connect(effort) as c:
            c.prepare("subselect", self._query("$1", 10))
            c.prepare("parameter",
                      f"SELECT id FROM items ORDER BY embedding {self.op} $1 LIMIT 10")
            times = {"subselect": [], "parameter": []}
            for i in range(rounds):
                q = i % len(queries)
                far = (i + len(queries) // 2) % len(queries)
                for name, value in (("subselect", b"%d" % q), ("parameter", vectors[far])):
                    start = time.perf_counter()
                    c.execute(name, [value], binary=name == "parameter")
                    times[name].append(time.perf_counter() - start)
        return {name: float(np.median(t)) * 1e6 for name, t in times.items()}

    # ---- facts ----

    def facts(self):
        """(name, value) pairs for the report's head."""
        with self.connect() as c:
            shown = ("server_version", "shared_buffers", "work_mem", "fsync", "jit")
            values = ", ".join(f"{s} {c.value('SHOW ' + s)}" for s in shown)
            found = [(self.name, f"{self.version}; {values}")]
            if c.value("SELECT 1 FROM pg_proc WHERE proname = 'vecpg_cpu'"):
                cpu = c.rows("SELECT * FROM vecpg_cpu()")
                kernels = "; ".join(" ".join(map(str, row)) for row in cpu)
                found.append((self.name + " kernels", kernels))
        if self.settings:
            found.append((self.name + " settings", " ".join(self.settings)))
        return found


class _PeakMemory:
    """Samples a local process's private resident memory while the block runs."""

    PERIOD = 0.05

    def __init__(self, pid):
        self.path, self.peak = f"/proc/{pid}/status", None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(self.PERIOD):
            try:
                with open(self.path) as f:
                    text = f.read()
            except OSError:
                return                  # a server elsewhere: no figure
            found = re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)
            if not text.startswith("Name:\tpostgres") or not found:
                return
            self.peak = max(self.peak or 0, int(found.group(1)) * 1024)


def _perform(query):
    """A SELECT as plpgsql runs it when nobody wants its rows."""
    return "PERFORM" + query.removeprefix("SELECT")


def vector_bytes(vectors):
    """The binary form of every vector: dimensions, an unused word, big-endian floats."""
    head = np.array([vectors.shape[1], 0], dtype=">i2").tobytes()
    return [head + row.tobytes() for row in vectors.astype(">f4")]


def _frames(chunk, count, dim, key_bytes):
    """COPY BINARY of (row number, vector) for `count` rows, buffer by buffer."""
    frame = np.dtype([("fields", ">i2"), ("key_bytes", ">i4"), ("key", f">i{key_bytes}"),
                      ("vector_bytes", ">i4"), ("dim", ">i2"), ("unused", ">i2"),
                      ("vector", ">f4", (dim,))])
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for start in range(0, count, COPY_ROWS):
        rows = chunk(start, min(start + COPY_ROWS, count))
        out = np.empty(len(rows), dtype=frame)
        out["fields"], out["key_bytes"], out["vector_bytes"] = 2, key_bytes, 4 + 4 * dim
        out["key"] = np.arange(start, start + len(rows))
        out["dim"], out["unused"], out["vector"] = dim, 0, rows
        yield out
    yield b"\xff\xff"
