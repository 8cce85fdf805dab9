#!/bin/bash
# pgconfig.sh -- prints the path of the pg_config to build with; fails when there is none.
#
# A pg_config counts only with the server's build files (PGXS): libpq-dev installs one without.
# $PG_CONFIG, when set, is the only candidate; else the search path, then the newest server under
# Debian's version folders.

usable()
{
	[ -n "$1" ] && pgxs=$("$1" --pgxs 2>/dev/null) && [ -f "$pgxs" ] && command -v "$1"
}

if [ -n "$PG_CONFIG" ]; then
	usable "$PG_CONFIG"
	exit
fi
usable pg_config && exit
for candidate in $(ls -rv /usr/lib/postgresql/*/bin/pg_config 2>/dev/null)
do
	usable "$candidate" && exit
done
exit 1
