#!/bin/bash
# regress.sh -- runs the named regress tests (sql/NAME.sql) against the server of the environment.
#
# Not another list of tests or options: both are the Makefile's, this narrows the list.

make installcheck REGRESS="$*"
status=$?
[ ! -s regression.diffs ] || cat regression.diffs
exit $status
