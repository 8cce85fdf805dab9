#!/bin/bash
# asan.sh -- `make asan`: unit tests, and the regress tests under a server, with address and
# undefined-behaviour sanitizers.
#
# Not a sanitized server: only our code is instrumented, in a copy of the tree under build/asan. The
# copy is installed over the server's folders inside a private mount namespace, so the system keeps
# the library it has; without root there is no such namespace and the server part is skipped.

set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cd "$ROOT" || exit 1
export ROOT

FLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"
WORK=$ROOT/build/asan

main()
{
	case ${1:-} in
		'')
			test/harness/setup.sh || exit 1
			local status=0
			[ ! -f test/unit/Makefile ] || make -C test/unit check SANITIZE=1 || status=1
			if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
				echo "asan: server part skipped: it needs root and mount namespaces"
			else
				unshare -m "$0" server || status=1
			fi
			exit $status
			;;
		server)
			server_part
			;;
	esac
}

# Runs inside the mount namespace.
server_part()
{
	. test/harness/server.sh
	. test/harness/build.sh

	rm -rf "$WORK"
	mkdir -p "$WORK/tree"
	tar -cf - --exclude=./build --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.d' . |
		tar -xf - -C "$WORK/tree"
	PG_CONFIG=$(test/harness/pgconfig.sh) || exit 1
	export PG_CONFIG
	private_copy "$("$PG_CONFIG" --pkglibdir)"
	private_copy "$("$PG_CONFIG" --sharedir)/extension"
	(ROOT=$WORK/tree && cd "$ROOT" && extension_install COPT="$FLAGS") || exit 1

	server_workspace
	make_wrapper
	server_init || exit 1
	SERVER_WRAPPER=$RUN/postgres
	server_start 'jit = off' || exit 1
	(cd "$WORK/tree" && test/harness/regress.sh ${TESTS:-$(regress_tests)}) || failed=1
	server_stop
	if grep -E -A 20 'runtime error|AddressSanitizer' "$RUN/server.log"; then
		failed=1
	fi
	[ "${failed:-0}" = 0 ] && echo "asan: no finding"
}

# Lays a copy of a folder over itself, visible in this namespace only.
private_copy()
{
	mkdir -p "$WORK/over$1"
	cp -a "$1/." "$WORK/over$1"
	mount --bind "$WORK/over$1" "$1"
}

# Only the server itself gets the sanitizer's library: client programs hang in gettext with it.
make_wrapper()
{
	local libasan
	libasan=$(gcc -print-file-name=libasan.so)
	gcc -shared -fPIC -O1 -o "$RUN/nonls.so" test/harness/nonls.c
	cat >"$RUN/postgres" <<-END
		#!/bin/sh
		export LD_PRELOAD="$(readlink -f "$libasan") $RUN/nonls.so"
		export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
		exec "$PGBIN/postgres" "\$@"
	END
	chmod 755 "$RUN/postgres" "$RUN/nonls.so"
}

regress_tests()
{
	local path
	for path in sql/*.sql
	do
		case $path in
			sql/vecpg--*) ;;
			*) basename "$path" .sql ;;
		esac
	done
}

main "$@"
