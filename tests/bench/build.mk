# `make bench`: instruction counts of exits, and sizes, to $O/figures/bench.tsv.

.PHONY: bench
bench: hypervisor test-guests guests
	$Q$(PYTHON) tests/bench/bench.py --hypervisor $(HV) --guests $O/guests --out $O/figures/bench.tsv $(BENCH_FLAGS)

include $(wildcard tests/bench/*/build.mk)
