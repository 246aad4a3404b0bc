#!/bin/sh
# Runs Spin on the models in folder @1 in all scenarios, in directory @2: those that must hold are searched to the end,
# those with a planted error must find it. Prints a line each and writes results.tsv there (scenario,
# expected, result, states, seconds). Status 1 if one went otherwise, did not end, or was cut short.
set -u
models=$(realpath "$1")
model=$models/miss.pml
mkdir -p "$2" && cd "$2" || exit 1
failed=0
printf 'scenario\texpected\tresult\tstates\tseconds\n' >results.tsv

# prove NAME EXPECTED KIND FLAGS...: EXPECTED is "holds" or what the error must be ("assertion violated  !(must)").
prove() {
	name=$1 expected=$2 kind=$3
	shift 3
	rm -rf "./$name" && mkdir "$name" || exit 1
	start=$(date +%s)
	case $kind in
	safety) compile=-DSAFETY search= ;;
	progress) compile=-DNFAIR=4 search='-a -f' ;;
	esac
	# shellcheck disable=SC2086 # lists of words
	(
		cd "$name" &&
			spin -a "$@" "$model" >spin.log 2>&1 &&
			gcc -w -O2 -DMEMLIM=2000 -DCOLLAPSE $compile -o pan pan.c &&
			timeout "${PROVE_TIMEOUT:-600}" ./pan $search -m1000000 -w23 >pan.log 2>&1
	) || echo "ended with status $?" >>"$name/pan.log"
	log=$name/pan.log
	# A search that was cut short has shown nothing.
	if grep -q -e 'ended with status' -e 'Search not completed' -e 'max search depth too small' "$log" &&
		! grep -q 'errors: [1-9]' "$log"; then
		result='not finished'
	elif grep -q 'errors: 0$' "$log"; then
		result=holds
	else
		result=$(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' "$log" | head -1)
	fi
	states=$(sed -n 's/^ *\([0-9e+.]*\) states, stored.*/\1/p' "$log" | head -1)
	seconds=$(($(date +%s) - start))
	printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$expected" "$result" "$states" "$seconds" >>results.tsv
	case $result in
	"$expected"*) printf 'pass  %-24s %s (%s states, %s s)\n' "$name" "$expected" "$states" "$seconds" ;;
	*)
		printf 'FAIL  %-24s expected "%s", but: %s\n' "$name" "$expected" "$result"
		tail -20 "$log"
		failed=1
		;;
	esac
}

absent='assertion violated  !(must)'
reached='assertion violated ((' # a page freed that a reader can still reach
lost='assertion violated (content['              # not what its guest knows to be there
remembered='assertion violated ((((translation[' # a page freed that a processor or service can still reach
TABLE='-DDEPTH=2 -DGROW=2'
POOL='-DDEPTH=2 -DDESTROY -DDESTROY_OR_REKEY -DGROW=1 -DONE_KEY'
REKEY='-DDEPTH=2 -DREKEY -DDESTROY_OR_REKEY -DONE_KEY'
LOCK='-DDEPTH=2 -DPROGRESS -DONE_KEY'

# The two halves run at the same time.
# shellcheck disable=SC2086
all() {
	prove split_and_merge holds safety -DDEPTH=2 -DGROW=3
	prove own_puts holds safety -DDEPTH=2 -DGROW=1 -DOWN
	prove eviction holds safety -DDEPTH=2 -DEVICT -DONE_KEY
	prove no_sequence "$absent" safety $TABLE -DONE_KEY -DNO_SEQUENCE
	prove odd_sequence_believed "$absent" safety $TABLE -DNO_PARITY
	prove counted_only_after "$absent" safety $TABLE -DSEQUENCE_AFTER
	prove bit_forgotten "$absent" safety $TABLE -DBIT_FORGOTTEN
	prove signal_past_buffer "$absent" safety -DDEPTH=5 -DONE_KEY -DSIGNAL_PAST_BUFFER
}
volatile_pages() {
	model=$models/volatile.pml
	prove discards holds safety
	prove told_first "$lost" safety -DTELL_FIRST
	prove freed_without_wait "$remembered" safety -DNO_WAIT
	prove published_too_soon "$remembered" safety -DPUBLISH_BEFORE_FLUSH
	prove no_second_look 'assertion violated (state==' safety -DNO_SECOND_LOOK
	prove not_brought_back "$lost" safety -DZEROS_FOR_DISCARDING
}
# shellcheck disable=SC2086
all_with_later_frees() {
	prove rekey holds safety $REKEY
	prove other_load_order holds safety $TABLE -DORDER=1 -DONE_KEY
	prove pool_destruction holds safety $POOL -DIDLING
	prove every_get_ends holds progress $LOCK
	prove old_part_forgotten "$absent" safety $REKEY -DNO_OLD
	prove streaming_unfenced "$absent" safety $REKEY -DSTREAMING_UNFENCED
	prove table_freed_at_once "$reached" safety $REKEY -DFREE_AT_ONCE
	prove pool_freed_at_once "$reached" safety $POOL -DFREE_AT_ONCE
	prove retired_while_reachable "$reached" safety $POOL -DRETIRE_FIRST
	prove plain_store_after_idle "$reached" safety $POOL -DIDLING -DPLAIN_AFTER_IDLE
	prove unfair_lock 'acceptance cycle' progress $LOCK -DUNFAIR_LOCK
}
(all && volatile_pages && exit $failed) &
other=$!
all_with_later_frees
wait $other || failed=1
exit $failed
