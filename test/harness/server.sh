# server.sh -- a private PostgreSQL server for demo, test, dev and asan; sourced by bash scripts.
#
# Not the distribution's service: data, socket and log lie in a run folder of this checkout's build/,
# nothing listens on the network, and the run folder goes when the script ends, however it ends.
#
#     server_workspace       makes $RUN, writable by the server's user; sets the trap that cleans up
#     server_init [args]     initdb into $RUN/data (args go to initdb)
#     server_start [args]    starts it (args are appended to postgresql.conf: 'name = value')
#     server_stop [mode]     stops it: fast (default) or immediate
#     server_crash           kill -9 of all its processes
#     server_run CMD...      runs CMD as the server's user (postgres when this is root) in $RUN
#
# Set by this file: RUN, PG_CONFIG, PGBIN, and for clients PGHOST PGPORT PGUSER PGDATABASE PATH.
# SERVER_WRAPPER, when set, is the program that pg_ctl starts instead of postgres.

SERVER_PORT=54321			# only the name of a socket file: nothing listens on TCP
SERVER_SOCKET_MAX=90		# a socket path has at most 107 bytes, ".s.PGSQL.54321.lock" is part of it

server_run()
{
	local as=()
	[ "$(id -u)" != 0 ] || as=(env HOME="$RUN" setpriv --reuid=postgres --regid=postgres --init-groups)
	# It changes folder as that user, which may be one who cannot enter it.
	"${as[@]}" sh -c 'cd "$0" && exec "$@"' "$RUN" "$@"
}

# A folder the server's user can reach: build/, or one under the temporary folder when the
# checkout is private (say, in /root) or its path too long for a socket.
server_workspace()
{
	mkdir -p "$ROOT/build/log"
	trap server_cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	RUN=$(mktemp -d "$ROOT/build/run.XXXXXX")
	server_own_workspace
	if [ ${#RUN} -gt "$SERVER_SOCKET_MAX" ] || ! server_run true 2>/dev/null; then
		rm -rf "$RUN"
		RUN=$(mktemp -d -t vecpg.XXXXXX)
		server_own_workspace
	fi
	# Nothing of the caller's own client settings may reach the tests.
	local pg_config=$("$ROOT/test/harness/pgconfig.sh")
	unset "${!PG@}"
	PG_CONFIG=$pg_config
	PGBIN=$("$PG_CONFIG" --bindir)
	PATH=$PGBIN:$PATH
	PGHOST=$RUN PGPORT=$SERVER_PORT PGUSER=postgres PGDATABASE=postgres
	PSQLRC=/dev/null PSQL_HISTORY=/dev/null
	export RUN PG_CONFIG PGBIN PATH PGHOST PGPORT PGUSER PGDATABASE PSQLRC PSQL_HISTORY
}

server_own_workspace()
{
	chmod 700 "$RUN"
	if [ "$(id -u)" = 0 ]; then chown postgres: "$RUN"; fi
}

server_cleanup()
{
	local status=$?
	trap - EXIT INT TERM HUP
	kill $(jobs -p) 2>/dev/null
	if [ -n "${RUN:-}" ]; then
		[ ! -f "$RUN/data/postmaster.pid" ] || server_stop immediate >/dev/null 2>&1
		[ ! -f "$RUN/server.log" ] || cp "$RUN/server.log" "$ROOT/build/log/server.log"
		rm -rf "$RUN"
	fi
	exit "$status"
}

server_init()
{
	# Durability against power loss is not what runs here test; the crash tests kill processes.
	server_run "$PGBIN/initdb" -D "$RUN/data" -U postgres --auth=trust --encoding=UTF8 --no-locale \
		--no-sync --data-checksums "$@" >"$RUN/initdb.log" 2>&1 || { cat "$RUN/initdb.log" >&2; return 1; }
	cat >>"$RUN/data/postgresql.conf" <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$RUN'
		port = $SERVER_PORT
		fsync = off
		shared_buffers = 256MB
		max_wal_size = 4GB
	CONF
}

server_start()
{
	[ $# = 0 ] || printf '%s\n' "$@" >>"$RUN/data/postgresql.conf"
	server_run "$PGBIN/pg_ctl" -D "$RUN/data" -l "$RUN/server.log" ${SERVER_WRAPPER:+-p "$SERVER_WRAPPER"} \
		-w -t 120 start >"$RUN/start.log" 2>&1 || { cat "$RUN/start.log" "$RUN/server.log" >&2; return 1; }
}

server_stop()
{
	server_run "$PGBIN/pg_ctl" -D "$RUN/data" -m "${1:-fast}" -w -t 120 stop >/dev/null
}

server_crash()
{
	# The postmaster first, as it would restart the rest; a busy backend would outlive it for long.
	kill -9 "$(head -n 1 "$RUN/data/postmaster.pid")"
	local left
	while left=$(server_processes) && [ -n "$left" ]
	do
		kill -9 $left 2>/dev/null
		sleep 0.05
	done
	# Until somebody reaps the dead postmaster, its lock files name a process that exists.
	rm -f "$RUN/data/postmaster.pid" "$RUN/.s.PGSQL.$SERVER_PORT" "$RUN/.s.PGSQL.$SERVER_PORT.lock"
}

# Every process of a server works in its data directory.
server_processes()
{
	local process
	for process in /proc/[0-9]*
	do
		[ "$(readlink "$process/cwd")" != "$RUN/data" ] || echo "${process#/proc/}"
	done
}
