#!/bin/bash
# isolation.sh -- runs the named isolation tests (test/isolation/specs/NAME.spec).
#
# Not part of `make installcheck`: PGXS looks for specs/ beside the Makefile, ours lie in test/.
#
# A test each_NAME runs once for every access method, as AM_NAME: in its spec and its expected output
# @am@ stands for the access method and @all@ for the setting by which a scan reads everything.

. "$ROOT/test/harness/am.sh"
out=build/isolation
rm -rf "$out"
mkdir -p "$out/in/specs" "$out/in/expected"
tests=()
for name in "$@"
do
	for am in $([ "${name#each_}" = "$name" ] && echo none || echo $AMS)
	do
		as=${name/#each_/${am}_}
		sed "s/@am@/$am/g; s/@all@/$(am_all $am)/g" "test/isolation/specs/$name.spec" >"$out/in/specs/$as.spec"
		sed "s/@am@/$am/g; s/@all@/$(am_all $am)/g" "test/isolation/expected/$name.out" >"$out/in/expected/$as.out"
		tests+=("$as")
	done
done
"$(dirname "$("$PG_CONFIG" --pgxs)")/../test/isolation/pg_isolation_regress" --bindir="$PGBIN" \
	--inputdir="$out/in" --outputdir="$out" --dbname=isolation_vecpg --load-extension=vecpg "${tests[@]}"
status=$?
[ ! -s "$out/regression.diffs" ] || cat "$out/regression.diffs"
exit $status
