#!/bin/bash
# oracle.sh -- random inserts, updates, deletes, VACUUM and REINDEX by several clients, beside an exact oracle.
#
#     ROUNDS=800 CLIENTS=4 SEED=... oracle.sh
#
# Each round is one piece of work and one comparison of an index's answer with its table's. The last line
# is "N passed, N failed".

ROUNDS=${ROUNDS:-800} CLIENTS=${CLIENTS:-4} SEED=${SEED:-$(($(date +%s) % 30000))}
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
. "$ROOT/test/stress/lib.bash"
stress_begin

echo "oracle: $ROUNDS rounds, $CLIENTS clients, seed $SEED"
pids=()
for client in $(seq "$CLIENTS")
do
	client_script "$client" $(((ROUNDS + CLIENTS - 1) / CLIENTS)) >"$RUN/client$client.sql"
	psql -qAtX -f "$RUN/client$client.sql" >"$RUN/client$client.out" 2>&1 &
	pids+=($!)
done
wait "${pids[@]}"
count_checks "$RUN"/client*.out
final_checks "at the end"
for t in $TABLES; do sql -c "VACUUM $t"; done
final_checks "after VACUUM"
server_stop

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
