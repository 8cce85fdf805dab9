# build.sh -- builds and installs the extension quietly; sourced by the harness's scripts.
#
# Not for the user's own build (that is plain make). It shows one line, and the log only on failure.

# extension_install [make arguments]: into the server that pgconfig.sh finds.
extension_install()
{
	local log=$ROOT/build/log/build.log pkglibdir
	mkdir -p "${log%/*}"
	PG_CONFIG=$("$ROOT/test/harness/pgconfig.sh") || { echo "build: no pg_config with PGXS" >&2; return 1; }
	export PG_CONFIG
	# The caller's make must not steer this one.
	unset MAKEFLAGS MAKELEVEL MFLAGS
	echo "build: vecpg for $("$PG_CONFIG" --version)"
	make -s -C "$ROOT" -j "$(nproc)" "$@" all >"$log" 2>&1 || { tail -n 30 "$log" >&2; return 1; }
	pkglibdir=$("$PG_CONFIG" --pkglibdir)
	if [ -w "$pkglibdir" ]; then
		make -C "$ROOT" "$@" install >>"$log" 2>&1
	elif ! command -v sudo >/dev/null; then
		echo "build: cannot install: $pkglibdir is not writable, and there is no sudo" >&2
		return 1
	else
		sudo make -C "$ROOT" PG_CONFIG="$PG_CONFIG" "$@" install >>"$log" 2>&1
	fi || { tail -n 30 "$log" >&2; return 1; }
}
