#!/bin/sh
# Plays one input with fuzz_devices, instrumented (@1): a console that has 64 KiB to send, whose bytes take their time,
# while another CPU rings without end and the generator rests. Fails unless the console then gives up after its rounds
# and rests for both.
set -u
program=$1
out=$(dirname "$program")
# In step(): time and rings (case 6), a request of the transmit queue (4), time that passes, to the end.
{
	printf '\024\000\200\000\377\377' # one buffer at 0x8000 for random bytes, and one that waits
	printf '\024\000\200\000\377\377'
	printf '\036\377\377\017\377'     # each piece 1 ms; 255 rings of queue 1
	printf '\014\000\200\000\377\377' # one buffer of 64 KiB to send
	for _ in 1 2 3 4 5 6 7 8; do printf '\006\377\377\377'; done
} >"$out/devices.input"
LLVM_PROFILE_FILE=$out/devices.profraw "$program" "$out/devices.input" >"$out/reach_devices.log" 2>&1 || {
	tail -20 "$out/reach_devices.log"
	exit 1
}
llvm-profdata-14 merge -o "$out/devices.profdata" "$out/devices.profraw" || exit 1
llvm-cov-14 show "$program" -instr-profile="$out/devices.profdata" kernel/virtio/device.c >"$out/devices.txt" 2>/dev/null
failed=0
for line in 'at = virtio_rest_until(device, since);' 'ticks += READ_ONCE(other->turn_ticks);' 'at = MIN(at, READ_ONCE(device->timer.deadline));'; do
	grep -F "$line" "$out/devices.txt" | awk -F'|' '$2 + 0 > 0 { ran = 1 } END { exit !ran }' || {
		echo "fuzz_devices does not reach \"$line\""
		failed=1
	}
done
exit $failed
