#!/bin/sh
# Runs the unit test programs @2.. in directory @1, JOBS (2) at a time, prints a line a test and the totals, and
# writes them to results.tsv there. A program that dies without reporting is a failure of its own. What ends an
# endless one is CPU time, which a busy host leaves as it is; the clock ends only one that sleeps.
set -u

# One program: its output, and then how it ended and after how many seconds.
if [ "$1" = --one ]; then
	log=$2/$3.log
	start=$(date +%s.%N)
	(ulimit -t "${UNIT_CPU_SECONDS:-180}"
		CMOCKA_MESSAGE_OUTPUT=STDOUT exec timeout -s KILL 1800 "$2/$3") >"$log" 2>&1
	status=$?
	echo "$status $(echo "$(date +%s.%N) - $start" | bc 2>/dev/null || echo 0)" >"$2/$3.ended"
	exit 0
fi

dir=$1
shift
results=$dir/results.tsv
passed=0
failed=0
printf 'test\tbackend\tcpus\tresult\tseconds\n' >"$results"

for program in "$@"; do
	rm -f "$dir/$program.log" "$dir/$program.ended"
done
printf '%s\n' "$@" | xargs -n 1 -P "${JOBS:-2}" "$0" --one "$dir"

for program in "$@"; do
	log=$dir/$program.log
	status=unknown seconds=0
	[ ! -f "$dir/$program.ended" ] || read -r status seconds <"$dir/$program.ended"
	ok=$(sed -n 's/^\[       OK \] //p' "$log" | sort -u)
	bad=$(sed -n 's/^\[  FAILED  \] \([a-z][A-Za-z0-9_]*\)$/\1/p' "$log" | sort -u)
	if [ "$status" != 0 ] && [ -z "$bad" ]; then
		bad="(ended with status $status)"
	elif [ -z "$ok$bad" ]; then
		bad="(ran no test)"
	fi
	[ "$status" = 0 ] || cat "$log"
	IFS='
'
	for test in $ok; do
		echo "pass  $program: $test"
		printf '%s: %s\thost\t-\tpass\t%s\n' "$program" "$test" "$seconds" >>"$results"
		passed=$((passed + 1))
	done
	for test in $bad; do
		echo "FAIL  $program: $test"
		printf '%s: %s\thost\t-\tfail\t%s\n' "$program" "$test" "$seconds" >>"$results"
		failed=$((failed + 1))
	done
	unset IFS
done
echo "unit: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
