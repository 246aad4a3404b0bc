# `make prove-spin`: Spin on the lock-free miss path (miss.pml) and on volatile pages (volatile.pml). Every scenario must hold, and every planted
# error must be found. At most 4 GiB of memory; $O/spin/results.tsv.

.PHONY: prove-spin prove
prove-spin:
	@tools/deps.sh prove
	@tests/spin/prove.sh tests/spin $O/spin
prove: prove-spin
