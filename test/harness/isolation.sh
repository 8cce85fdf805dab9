#!/bin/bash
# isolation.sh -- runs the named isolation tests (test/isolation/specs/NAME.spec).
#
# Not part of `make installcheck`: PGXS looks for specs/ beside the Makefile, ours lie in test/.

out=build/isolation
rm -rf "$out"
mkdir -p "$out"
"$(dirname "$("$PG_CONFIG" --pgxs)")/../test/isolation/pg_isolation_regress" --bindir="$PGBIN" \
	--inputdir=test/isolation --outputdir="$out" --dbname=isolation_vecpg --load-extension=vecpg "$@"
status=$?
[ ! -s "$out/regression.diffs" ] || cat "$out/regression.diffs"
exit $status
