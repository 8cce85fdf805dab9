"""pq.py -- the little of libpq that the bench needs, through ctypes.

Not a driver: text results, no types, no async, one statement at a time. Speed under load is
pgbench's business. It exists because psql can neither stream COPY data from an array nor bind a
binary parameter, and the library is on every machine that has psql.
"""
import ctypes

CONNECTION_OK = 0
EMPTY_QUERY, COMMAND_OK, TUPLES_OK, COPY_IN = 0, 1, 2, 4

_lib = ctypes.CDLL("libpq.so.5")
_PTR, _STR, _INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
for _name, _result, _args in (
        ("PQconnectdb", _PTR, (_STR,)),
        ("PQstatus", _INT, (_PTR,)),
        ("PQfinish", None, (_PTR,)),
        ("PQerrorMessage", _STR, (_PTR,)),
        ("PQexec", _PTR, (_PTR, _STR)),
        ("PQprepare", _PTR, (_PTR, _STR, _STR, _INT, _PTR)),
        ("PQexecPrepared", _PTR, (_PTR, _STR, _INT, _PTR, _PTR, _PTR, _INT)),
        ("PQgetResult", _PTR, (_PTR,)),
        ("PQresultStatus", _INT, (_PTR,)),
        ("PQresultErrorMessage", _STR, (_PTR,)),
        ("PQclear", None, (_PTR,)),
        ("PQntuples", _INT, (_PTR,)),
        ("PQnfields", _INT, (_PTR,)),
        ("PQgetvalue", _STR, (_PTR, _INT, _INT)),
        ("PQgetisnull", _INT, (_PTR, _INT, _INT)),
        ("PQputCopyData", _INT, (_PTR, _PTR, _INT)),
        ("PQputCopyEnd", _INT, (_PTR, _STR))):
    _function = getattr(_lib, _name)
    _function.restype, _function.argtypes = _result, _args


class Error(Exception):
    """What the server or the library said."""


def options_of(settings):
    """Session settings, ["name=value", ...], as the value of PGOPTIONS."""
    return " ".join("-c " + s.replace("\\", "\\\\").replace(" ", "\\ ") for s in settings)


def quoted(text):
    """An SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


class Connection:
    """One session. `settings` hold from its start, as they do for pgbench."""

    def __init__(self, dsn, settings=()):
        options = options_of(settings).replace("\\", "\\\\").replace("'", "\\'")
        full = f"{dsn} options='{options}'" if settings else dsn
        self._conn = _lib.PQconnectdb(full.encode())
        if _lib.PQstatus(self._conn) != CONNECTION_OK:
            message = _lib.PQerrorMessage(self._conn).decode().strip()
            self.close()
            raise Error(message)

    def close(self):
        if self._conn:
            _lib.PQfinish(self._conn)
            self._conn = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def rows(self, sql):
        """Runs SQL; the last statement's rows as tuples of str or None."""
        return self._take(_lib.PQexec(self._conn, sql.encode()))

    def value(self, sql):
        """The first column of the first row, or None."""
        found = self.rows(sql)
        return found[0][0] if found else None

    def prepare(self, name, sql):
        self._take(_lib.PQprepare(self._conn, name.encode(), sql.encode(), 0, None))

    def execute(self, name, params, binary=False):
        """Runs a prepared statement; params are bytes, sent as text or as binary."""
        count = len(params)
        values = (_STR * count)(*params)
        lengths = (_INT * count)(*(len(p) for p in params))
        formats = (_INT * count)(*([int(binary)] * count))
        return self._take(_lib.PQexecPrepared(self._conn, name.encode(), count, values, lengths,
                                              formats, 0))

    def copy_in(self, sql, chunks):
        """Sends the byte buffers of `chunks` (numpy arrays or bytes) to a COPY FROM STDIN."""
        result = _lib.PQexec(self._conn, sql.encode())
        if _lib.PQresultStatus(result) != COPY_IN:
            self._take(result)
            raise Error("not a COPY FROM STDIN: " + sql)
        _lib.PQclear(result)
        for chunk in chunks:
            if isinstance(chunk, bytes):
                sent = _lib.PQputCopyData(self._conn, chunk, len(chunk))
            else:
                sent = _lib.PQputCopyData(self._conn, chunk.ctypes.data, chunk.nbytes)
            if sent != 1:
                break
        _lib.PQputCopyEnd(self._conn, None)
        error = None
        while True:
            result = _lib.PQgetResult(self._conn)
            if not result:
                break
            try:
                self._take(result)
            except Error as e:
                error = error or e
        if error:
            raise error

    def _take(self, result):
        try:
            status = _lib.PQresultStatus(result)
            if status not in (EMPTY_QUERY, COMMAND_OK, TUPLES_OK):
                message = _lib.PQresultErrorMessage(result) or _lib.PQerrorMessage(self._conn)
                raise Error(message.decode(errors="replace").strip())
            width = _lib.PQnfields(result)
            return [tuple(None if _lib.PQgetisnull(result, i, j)
                          else _lib.PQgetvalue(result, i, j).decode() for j in range(width))
                    for i in range(_lib.PQntuples(result))]
        finally:
            _lib.PQclear(result)
