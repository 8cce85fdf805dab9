#!/bin/bash
# dev.sh -- `make dev`: psql on a throw-away server that has the extension (and, with DATA=1, the demo's table).

set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cd "$ROOT" || exit 1
. test/harness/server.sh
. test/harness/build.sh

# PGXS would take DATA for a list of files to install.
with_data=${DATA:-}
unset DATA

test/harness/setup.sh || exit 1
extension_install || exit 1
server_workspace
server_init && server_start || exit 1
psql -q -c 'CREATE EXTENSION vecpg'
if [ -n "$with_data" ]; then
	test/demo/load.sh || exit 1
	echo 'table packages is loaded; for example:'
	echo "  SELECT name FROM packages ORDER BY embedding <=> (SELECT embedding FROM packages WHERE name = 'vim') LIMIT 5;"
fi
# psql handles Ctrl-C itself; it must not end this script.
trap : INT
PSQL_HISTORY=$ROOT/build/psql_history psql
