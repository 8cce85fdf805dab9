# tally.awk -- counts the tests in a suite's log; prints "PASSED FAILED SKIPPED".
#
# -v format=summary   lines that hold "N passed, N failed[, N skipped]" (lint, unit, stress), summed
# -v format=last      the same, the last such line only (stress scripts print what they like before it)
# -v format=tap       "ok N" and "not ok N" at the line's start: prove -v, and pg_regress of 16 and later
# -v format=regress   as tap, and "test NAME ... ok" or "... FAILED" of pg_regress 15
# -v status=N         the suite's exit status: not 0 with no failed test, and 0 with no test at all, each
#                     count as one failure, so that a suite that dies or runs nothing is never a success

(format == "summary" || format == "last") && match($0, /[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?/) {
	split(substr($0, RSTART, RLENGTH), number, /[^0-9]+/)
	if (format == "last")
		passed = failed = skipped = 0
	passed += number[1]
	failed += number[2]
	skipped += number[3]
}

(format == "tap" || format == "regress") && /^(not )?ok [0-9]+/ {
	if (/# SKIP/ || /# skip/)
		skipped++
	else if (/^ok/)
		passed++
	else
		failed++
}

# A whole TAP file that skips itself.
format == "tap" && /^1\.\.0 # (SKIP|skip)/ {
	skipped++
}

format == "regress" && / \.\.\. ok( |$)/ {
	passed++
}

format == "regress" && / \.\.\. FAILED/ {
	failed++
}

END {
	if (failed == 0 && (status != 0 || passed + skipped == 0))
		failed = 1
	print passed + 0, failed + 0, skipped + 0
}
