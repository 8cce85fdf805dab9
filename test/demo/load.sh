#!/bin/bash
# load.sh -- makes and fills the demo's table and its index, on the server of the environment.
#
# Not the data (test/data): only how it comes into the database, with the time each step takes.

cd "$(dirname "$0")/../.." || exit 1

sql()
{
	psql -X -q -v ON_ERROR_STOP=1 "$@"
}

seconds_since()
{
	awk -v start="$1" -v now="$(date +%s.%N)" 'BEGIN { printf "%.1f s", now - start }'
}

start=$(date +%s.%N)
sql -f test/demo/table.sql || exit 1
python3 test/data/load.py | sql -c 'COPY packages FROM STDIN' || exit 1
sql -c 'ANALYZE packages'
echo "loaded $(sql -At -c 'SELECT count(*) FROM packages') packages with 384-dimensional embeddings in $(seconds_since "$start")"

start=$(date +%s.%N)
sql -f test/demo/index.sql || exit 1
echo "built the index in $(seconds_since "$start")"
