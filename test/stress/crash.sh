#!/bin/bash
# crash.sh -- kills the server under load, again and again; after each recovery index and table must agree.
#
#     CYCLES=10 CLIENTS=4 SEED=... crash.sh
#
# wal_consistency_checking compares every replayed page with the one that was written: a change without
# WAL, or one that replays otherwise, ends recovery. Rows whose commit was reported must be there. Every
# third time recovery itself is killed. In the end pg_checksums reads every page. The last line is
# "N passed, N failed".

CYCLES=${CYCLES:-10} CLIENTS=${CLIENTS:-4} SEED=${SEED:-$(($(date +%s) % 30000))}
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
. "$ROOT/test/stress/lib.bash"
stress_begin "wal_consistency_checking = generic" "checkpoint_timeout = 30s" "restart_after_crash = off"

echo "crash: $CYCLES cycles, $CLIENTS clients, seed $SEED"
sql -c "CREATE TABLE log (client int, n int, v vector(12))" -c "CREATE INDEX log_ivf ON log USING ivf (v vector_l2_ops)" \
	-c "CREATE INDEX log_hnsw ON log USING hnsw (v vector_l2_ops)"

# client_loop NUMBER CYCLE: random work, then rows of the log, each printed when its commit was reported.
client_loop()
{
	local turn=0
	while :
	do
		turn=$((turn + 1))
		SEED=$((SEED + 1)) client_script "$1" 3
		echo "INSERT INTO log SELECT $1, coalesce(max(n), 0) + 1, vector_of((random() * 1e6)::int) FROM log WHERE client = $1 RETURNING 'acked ' || n;"
	done | psql -qAtX >"$RUN/out$1.$2" 2>&1
}

# acked_rows: the rows whose commit was reported are in the table, and the log's indexes are sound.
acked_rows()
{
	local client last have
	for client in $(seq "$CLIENTS")
	do
		last=$(cat "$RUN"/out"$client".* | sed -n 's/^acked //p' | sort -n | tail -n 1)
		have=$(sql -c "SELECT coalesce(max(n), 0) || ' ' || count(DISTINCT n) FROM log WHERE client = $client")
		if [ "${have% *}" -ge "${last:-0}" ] && [ "${have% *}" = "${have#* }" ]; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
			echo "client $client: row ${last:-0} was committed, found (highest, number): $have"
		fi
	done
	sql -c "SELECT 'problem: ' || c FROM (VALUES ('log_ivf'), ('log_hnsw')) i(name), vecpg_check(name::regclass, true) c"
}

ALLOWED="$ALLOWED|server closed the connection|connection to server|terminating connection|^acked |the database system is|^	|could not send data|no connection to the server|postmaster exited|lost connection to parallel worker|AbortTransaction while in ABORT state"
for cycle in $(seq "$CYCLES")
do
	pids=()
	for client in $(seq "$CLIENTS")
	do
		client_loop "$client" "$cycle" &
		pids+=($!)
	done
	sleep "$((RANDOM % 2)).$((RANDOM % 10))5"
	server_crash
	wait "${pids[@]}" 2>/dev/null
	if [ $((cycle % 3)) = 0 ]; then
		# Started in the background, so that the kill comes while it recovers.
		server_run "$PGBIN/pg_ctl" -D "$RUN/data" -l "$RUN/server.log" -W start >/dev/null
		until [ -s "$RUN/data/postmaster.pid" ]; do sleep 0.005; done
		sleep 0.0$((RANDOM % 10))
		server_crash
	fi
	if ! server_start; then
		echo "cycle $cycle: the server does not start"
		failed=$((failed + 1))
		break
	fi
	count_checks "$RUN"/out*."$cycle"
	final_checks "cycle $cycle"
	acked_rows >"$RUN/acked"
	cat "$RUN/acked"
	failed=$((failed + $(grep -c problem "$RUN/acked")))
done

server_stop && server_run "$PGBIN/pg_checksums" --check -D "$RUN/data" >"$RUN/checksums" 2>&1 && passed=$((passed + 1)) || {
	failed=$((failed + 1))
	cat "$RUN/checksums"
}
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
