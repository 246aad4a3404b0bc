#!/bin/sh
# Plays the seeds of fuzz_tmem (directory @2) with the instrumented program @1 and fails unless each of these functions
# of the engine ran: one or more of every mode, of groups, of aging and of filters. Writes coverage.txt beside it.
set -u
program=$1
seeds=$2
out=$(dirname "$program")
LLVM_PROFILE_FILE=$out/tmem.profraw "$program" -runs=0 -timeout=60 -max_len=4096 "$seeds" >"$out/reach.log" 2>&1 || {
	tail -20 "$out/reach.log"
	exit 1
}
llvm-profdata-14 merge -o "$out/tmem.profdata" "$out/tmem.profraw" || exit 1
# shellcheck disable=SC2046 # names of our sources
llvm-cov-14 report "$program" -instr-profile="$out/tmem.profdata" --show-functions $(find "$PWD/tmem" -name '*.c') \
	2>/dev/null | awk 'NF > 5 { sub(/.*:/, "", $1); print $1, $2 - $3 }' >"$out/coverage.txt"
failed=0
for function in \
	dense_place equal_place equal_expect make_shared equal_move dense_fetch dense_vacate dense_compact page_compress page_decompress \
	pack_store pack_free pack_compact join pack_detach_frame run_trim make_room \
	dedup_get dedup_frames content_copy put_dense_near dedup_find aging_fit_now aging_victim put_list queues_adjust client_filter_insert \
	client_filter_removed filter_step leave_filtered count_again put_short_ephemeral put_first_ephemeral seek_room split_by_marks tmem_put_flip tmem_get_flip tmem_reclaim shared_put shared_leave \
	shrink_to tmem_tick; do
	awk -v name="$function" '$1 == name && $2 > 0 { ran = 1 } END { exit !ran }' "$out/coverage.txt" || {
		echo "fuzz_tmem does not reach $function()"
		failed=1
	}
done
exit $failed
