# `make bench-evict`: eviction policies for a private ephemeral pool compared; $O/figures/bench-evict.tsv.

$O/bench/bench_evict: $(wildcard tests/bench/evict/*.c tests/bench/evict/*.h) lib/types.h
	$(call quiet,HOSTLD,$@)mkdir -p $(@D) && $(CC) -std=gnu11 -O2 -g $(WARNINGS) -I. $(filter %.c,$^) -lm -o $@

.PHONY: bench-evict
bench-evict: $O/bench/bench_evict
	$Qmkdir -p $O/figures && $< >$O/figures/bench-evict.tsv && expand -t 12 $O/figures/bench-evict.tsv
