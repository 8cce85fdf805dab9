#!/bin/bash
# demo.sh -- `make demo`: similarity search over real rows, from nothing, on a throw-away server.

set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cd "$ROOT" || exit 1
. test/harness/server.sh
. test/harness/build.sh

title()
{
	printf '\n== %s\n\n' "$*"
}

query()
{
	psql -X -q -v ON_ERROR_STOP=1 "$@" || exit 1
}

test/harness/setup.sh || exit 1
extension_install || exit 1
server_workspace
server_init && server_start 'jit = off' || exit 1

title "5,906 programs of Debian, each with the embedding of its description"
test/demo/load.sh || exit 1
query -f test/demo/size.sql

for name in postgresql gimp nginx wireshark
do
	title "packages like $name"
	query -v name="$name" -f test/demo/like.sql
done

title "packages like nginx, in the section httpd only"
query -f test/demo/filter.sql

title "the plan of such a query, with what it read"
query -f test/demo/plan.sql

title "recall: 200 packages' ten nearest, by the index and by reading every row"
query -f test/demo/recall.sql

title "what is in the index"
query -x -P format=wrapped -P columns=110 -c "SELECT * FROM vecpg_index_info('packages_embedding_idx')"

title "how to go on"
cat <<'END'
make dev DATA=1    psql on such a server, with this table, until you leave it
README.md          options, functions, and how to use vecpg in your own database
END
