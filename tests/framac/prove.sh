#!/bin/sh
# Frama-C on the drivers of this folder, with the hypervisor's own sources, in directory @1: Eva, and WP. An alarm that
# alarms.tsv does not justify is a failure; so is a justified one that is gone, and a planted bug (an edit of a
# copy of the source) that raises no further alarm. Writes results.tsv there (driver, alarms, result, seconds).
set -u
here=$(dirname "$0")
out=$1
mkdir -p "$out" || exit 1
failed=0
printf 'driver\talarms\tresult\tseconds\n' >"$out/results.tsv"

# alarms DRIVER SOURCE NAME: prints function and kind of each alarm, sorted.
alarms() {
	options=-warn-unsigned-overflow
	[ "$1" != batch ] || options= # it checks after the addition whether that wrapped
	# Configurations one by one; a copy is what it demands.
	[ "$1" != packs ] || options="$options -eva-slevel 100000 -eva-use-spec run_copy"
	rm -f "$out/$3.csv"
	# shellcheck disable=SC2086 # options
	frama-c -c11 -machdep gcc_x86_64 -cpp-extra-args="-I. -Iinclude -Itests/unit/include -DSOURCE='\"$2\"'" \
		-eva-slevel 500 $options -eva -eva-verbose 0 -eva-no-print "$here/$1.c" \
		-then -report-csv "$out/$3.csv" >"$out/$3.log" 2>&1 && [ -s "$out/$3.csv" ] || {
		tail -20 "$out/$3.log" >&2
		echo "frama-c failed"
		return
	}
	awk -F '\t' 'NR > 1 && $1 !~ /^FRAMAC_SHARE/ && $6 != "Valid" && $6 != "Considered valid" && $6 != "Dead" &&
		$6 != "Unreachable" { print $4 "\t" $5 }' "$out/$3.csv" | sort
}

report() { # NAME ALARMS RESULT START
	seconds=$(($(date +%s) - $4))
	printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$seconds" >>"$out/results.tsv"
	printf '%-4s  %-16s %s (%s s)\n' "$3" "$1" "$2" "$seconds"
	[ "$3" = pass ] || failed=1
}

count() { printf '%s' "$1" | grep -c .; }

# prove DRIVER SOURCE EDIT: the edit is the planted bug, a sed script.
prove() {
	start=$(date +%s)
	known=$(sed -n "s/^$1	//p" "$here/alarms.tsv" | sort)
	found=$(alarms "$1" "$2" "$1")
	if [ "$found" = "$known" ]; then
		report "$1" "$(count "$known") alarms, all justified" pass "$start"
	else
		report "$1" "alarms: $found; justified: $known" FAIL "$start"
	fi

	start=$(date +%s)
	sed "$3" "$2" >"$out/planted_$1.c"
	if cmp -s "$2" "$out/planted_$1.c"; then
		report "$1, planted" "the edit changes nothing" FAIL "$start"
		return
	fi
	found=$(alarms "$1" "$out/planted_$1.c" "planted_$1")
	if [ "$found" != "$known" ] && [ "$found" != "frama-c failed" ] && [ "$(count "$found")" -gt 0 ]; then
		report "$1, planted" "found" pass "$start"
	else
		report "$1, planted" "not found" FAIL "$start"
	fi
}

# unproved DRIVER SOURCE FUNCTION NAME: prints the goals of its contract that neither WP nor a prover could prove, and
# those of what could overflow in it. The provers are detected anew, into a folder of our own.
unproved() {
	HOME=$out frama-c -c11 -machdep gcc_x86_64 -cpp-extra-args="-I. -Iinclude -Itests/unit/include -DSOURCE='\"$2\"'" \
		-warn-unsigned-overflow -wp -wp-rte -wp-prover cvc4 -wp-timeout 30 -wp-fct "$3" "$here/$1.c" >"$out/$4.log" 2>&1
	grep -q '^\[wp\] Proved goals: *[1-9]' "$out/$4.log" || {
		tail -20 "$out/$4.log" >&2
		echo "frama-c failed"
		return
	}
	sed -n 's/^\[wp\] \[.*\] Goal \([a-z0-9_]*\) : \(Unknown\|Timeout\|Failed\|Stepout\).*/\1/p' "$out/$4.log" | sort
}

# prove_contract DRIVER SOURCE FUNCTION EDIT: as prove, by WP; nothing may stay unproved.
prove_contract() {
	start=$(date +%s)
	left=$(unproved "$1" "$2" "$3" "$1")
	if [ -z "$left" ]; then
		report "$1 (WP)" "all goals proved" pass "$start"
	else
		report "$1 (WP)" "not proved: $left" FAIL "$start"
	fi
	start=$(date +%s)
	sed "$4" "$2" >"$out/planted_$1.h"
	left=$(unproved "$1" "$out/planted_$1.h" "$3" "planted_$1")
	if ! cmp -s "$2" "$out/planted_$1.h" && [ -n "$left" ] && [ "$left" != "frama-c failed" ]; then
		report "$1 (WP), planted" "found" pass "$start"
	else
		report "$1 (WP), planted" "not found" FAIL "$start"
	fi
}

HOME=$out why3 config detect >"$out/why3.log" 2>&1 || echo "why3 finds no prover" >&2
prove_contract granules tmem/pack_run.h granules_for 's/length + GRANULE - 1) \/ GRANULE/length + GRANULE - 2) \/ GRANULE/'
prove packs tmem/pack_run.c 's/sum - gaps\[first\] >= granules; first++/sum >= granules; first++/'
prove pools tmem/client.h 's/(u32)id < TMEM_POOLS_PER_GUEST/id < (s32)TMEM_POOLS_PER_GUEST/'
prove shares tmem/evict.h 's/u64 its_held, its_weight;/u32 its_held, its_weight;/; s/u64 most = self/u32 most = self/'
prove batch kernel/vm/hypercall.c 's/|| start % sizeof(struct tmem_batch_entry))/)/'
prove sizes manifest/convert.c 's/if (number > (~0UL - digit) .*/if (false)/'
exit $failed
