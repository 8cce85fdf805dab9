#!/bin/bash
# test.sh -- `make test`: runs every suite against a private server and counts their tests.
#
#     SUITES="regress tap" test.sh      only these; the names are the suite_ functions below
#     TESTS="vector_io ivf_build"       only these tests of the suites regress, isolation and tap
#
# One line a suite, then one line for all. Logs lie in build/log. A suite with no tests in the
# checkout is left out; one that cannot run, dies or counts nothing is a failure (tally.awk).

set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cd "$ROOT" || exit 1
export ROOT
. test/harness/server.sh
. test/harness/build.sh

LOG=$ROOT/build/log
SUITES=${SUITES:-lint unit regress isolation tap stress}
TESTS=${TESTS:-}
SUITE_LIMIT=${SUITE_LIMIT:-30m}		# a hanging suite is a failure, not a hanging run
SHOWN_LINES=60						# of a failed suite's log
total_passed=0 total_failed=0 total_skipped=0

main()
{
	test/harness/setup.sh || exit 1
	extension_install || exit 1
	server_workspace
	server_init && server_start || exit 1
	local suite
	for suite in $SUITES
	do
		"suite_$suite"
	done
	server_stop
	echo "$total_passed passed, $total_failed failed, $total_skipped skipped"
	[ "$total_failed" = 0 ]
}

# run_suite NAME FORMAT CMD...: the log goes to build/log/NAME.log, the count to the totals.
run_suite()
{
	local name=$1 format=$2 start=$SECONDS status passed failed skipped
	shift 2
	# In the background, because a trap waits for a foreground command to end.
	timeout -k 10 "$SUITE_LIMIT" "$@" >"$LOG/$name.log" 2>&1 </dev/null &
	wait $!
	status=$?
	read -r passed failed skipped < <(awk -f test/harness/tally.awk -v format="$format" -v status=$status "$LOG/$name.log")
	printf '%-10s %5d passed %4d failed %4d skipped %5d s\n' "$name" "$passed" "$failed" "$skipped" $((SECONDS - start))
	if [ "$failed" != 0 ]; then
		echo "---- build/log/$name.log (exit status $status), its last lines:"
		tail -n "$SHOWN_LINES" "$LOG/$name.log"
		echo "----"
	fi
	total_passed=$((total_passed + passed))
	total_failed=$((total_failed + failed))
	total_skipped=$((total_skipped + skipped))
}

suite_lint()
{
	run_suite lint summary python3 test/lint/lint.py
}

suite_unit()
{
	[ ! -f test/unit/Makefile ] || run_suite unit summary make -C test/unit check
}

suite_regress()
{
	local tests=$(chosen 'sql/*.sql')
	[ -z "$tests" ] || run_suite regress regress test/harness/regress.sh $tests
}

suite_isolation()
{
	local tests=$(chosen 'test/isolation/specs/*.spec')
	[ -z "$tests" ] || run_suite isolation regress test/harness/isolation.sh $tests
}

suite_tap()
{
	local tests=$(chosen 'test/t/*.pl')
	[ -z "$tests" ] || run_suite tap tap test/harness/tap.sh $tests
}

# A stress script is one test: 77 means skipped. It gets the server of this run by its environment.
suite_stress()
{
	local tests=$(chosen 'test/stress/*.sh')
	[ -z "$tests" ] || run_suite stress last test/harness/stress.sh $tests
}

# The names, without folder and suffix, of the files that match and are not ruled out by TESTS.
chosen()
{
	local path name
	for path in $1
	do
		name=${path##*/}
		name=${name%.*}
		[ -f "$path" ] && [ "${name#vecpg--}" = "$name" ] || continue
		case " ${TESTS:-$name} " in
			*" $name "*) echo "$name" ;;
		esac
	done
}

main
