# lib.bash -- what the stress scripts share: server, tables, random clients, verdicts; sourced, not run.
#
# The oracle is the table itself: with every list read, an index scan must give the distances that a
# sequential scan gives under the same snapshot, whatever runs beside it.

DATABASE=stress
TABLES="a b g h"
passed=0 failed=0

# What concurrent DDL may answer; any other error of a client is a failure.
ALLOWED='deadlock detected|does not use the index|could not obtain lock|could not serialize access'

# stress_begin [settings]: a server of our own with tables a and b (ivf), g and h (hnsw), each under indexes for
# several operators (all codes between them), that together hold 2,000 rows.
stress_begin()
{
	. "$ROOT/test/harness/server.sh"
	server_workspace && server_init && server_start "autovacuum_naptime = 1s" "deadlock_timeout = 100ms" \
		"max_parallel_maintenance_workers = 1" "$@" || exit 1
	createdb $DATABASE && export PGDATABASE=$DATABASE || exit 1
	export PGOPTIONS="-c search_path=knn,public"
	sql -c "CREATE EXTENSION vecpg SCHEMA public" -f "$ROOT/test/sql/knn.sql" -f "$ROOT/test/stress/schema.sql" >/dev/null || exit 1
}

sql()
{
	psql -qAtX -v ON_ERROR_STOP=1 "$@"
}

# client_script NUMBER ROUNDS: a script of psql with random work; each round ends with a check.
client_script()
{
	local round t dice
	RANDOM=$((SEED + $1))
	echo "SELECT setseed($1 / 100.0) IS NULL \\g /dev/null"
	for round in $(seq "$2")
	do
		t=$(table)
		dice=$((RANDOM % 100))
		if [ $dice -lt 30 ]; then echo "SELECT insert_some('$t', $((RANDOM % 150 + 1))) \\g /dev/null"
		elif [ $dice -lt 45 ]; then echo "SELECT update_some('$t', $((RANDOM % 100 + 1))) \\g /dev/null"
		elif [ $dice -lt 65 ]; then echo "SELECT delete_some('$t', $((RANDOM % 150 + 1))) \\g /dev/null"
		elif [ $dice -lt 72 ]; then echo "BEGIN; SELECT insert_some('$t', 100), delete_some('$t', 50) \\g /dev/null"; echo "ROLLBACK;"
		elif [ $dice -lt 90 ]; then echo "VACUUM $t;"
		elif [ $dice -lt 94 ]; then echo "REINDEX INDEX ${t}_$(operator $t);"
		elif [ $dice -lt 97 ]; then echo "REINDEX INDEX CONCURRENTLY ${t}_$(operator $t);"
		else echo "SELECT 'problem: ' || c FROM vecpg_check('${t}_$(operator $t)') c;"
		fi
		t=$(table)
		echo "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT check_once('$t', '$(operator $t)'); COMMIT;"
	done
}

table()
{
	local names=($TABLES)
	echo "${names[RANDOM % ${#names[@]}]}"
}

# operators_of TABLE: those that it has an index for, named TABLE_OPERATOR.
operators_of()
{
	[ "$1" = h ] && echo "l2 l1 cosine" || echo "l2 ip cosine"
}

# operator TABLE
operator()
{
	local names=($(operators_of "$1"))
	echo "${names[RANDOM % ${#names[@]}]}"
}

# count_checks FILE...: adds the clients' verdicts to passed and failed, and shows what went wrong.
count_checks()
{
	passed=$((passed + $(cat "$@" | grep -cx ok)))
	cat "$@" | grep -vx ok | grep -vE "$ALLOWED" | grep -vE '^(CONTEXT|DETAIL|HINT|PL/pgSQL|SQL |Process |See server)' >"$RUN/wrong"
	failed=$((failed + $(wc -l <"$RUN/wrong")))
	head -n 20 "$RUN/wrong"
}

# final_checks WHAT: every index beside its table, and its structure beside its rows.
final_checks()
{
	local t op
	for t in $TABLES
	do
		for op in $(operators_of $t)
		do
			sql -c "SELECT check_all('$t', '$op')" >"$RUN/final" 2>&1
			sql -c "SELECT 'problem: ' || c FROM vecpg_check('${t}_$op', true) c" >>"$RUN/final" 2>&1
			if [ "$(cat "$RUN/final")" = ok ]; then
				passed=$((passed + 1))
			else
				failed=$((failed + 1))
				echo "$1: ${t}_$op:"
				head -n 10 "$RUN/final"
			fi
		done
	done
}
