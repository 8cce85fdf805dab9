#!/bin/bash
# stress.sh -- runs the named stress scripts (test/stress/NAME.sh), each one test.
#
# They may source server.sh, for a server of their own to crash, or use the one of the environment.
# Exit status 0 is passed, 77 skipped, anything else failed.

passed=0 failed=0 skipped=0
for name in "$@"
do
	echo "== $name"
	"$ROOT/test/stress/$name.sh"
	case $? in
		0) passed=$((passed + 1)) ;;
		77) skipped=$((skipped + 1)) ;;
		*) failed=$((failed + 1)); echo "== $name FAILED" ;;
	esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
