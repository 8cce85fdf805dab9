#!/bin/bash
# tap.sh -- runs the named TAP tests (test/t/NAME.pl) with PostgreSQL's own Perl modules.
#
# They start servers, so they run as the server's user, in a copy of test/ inside $RUN: that user may
# be unable to read the checkout. The servers' logs come back to build/log/tap.

. "$ROOT/test/harness/server.sh"
tests=()
for name in "$@"
do
	tests+=("test/t/$name.pl")
done
pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/..
cp -r "$ROOT/test" "$RUN/test"
mkdir -p "$RUN/tap"
[ "$(id -u)" != 0 ] || chown -R postgres: "$RUN/test" "$RUN/tap"

# TESTDIR is read by the modules of 15, the other two by those of 16 and later.
server_run env -u PGHOST -u PGUSER -u PGDATABASE -u PSQLRC PGPORT=65432 PATH="$PGBIN:$PATH" \
	TESTDIR="$RUN/tap" TESTDATADIR="$RUN/tap/tmp_check" TESTLOGDIR="$RUN/tap/tmp_check/log" \
	PG_REGRESS="$pgxs/test/regress/pg_regress" \
	prove -v -I "$pgxs/test/perl" -I "$RUN/test/t" "${tests[@]}" 2>&1
status=$?
rm -rf "$ROOT/build/log/tap"
cp -r "$RUN/tap/tmp_check/log" "$ROOT/build/log/tap" 2>/dev/null
exit $status
