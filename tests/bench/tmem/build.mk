# `make bench-tmem`: what the tmem engine's operations cost on this host; $O/figures/bench-tmem.tsv.
# It runs bench_pack and bench_evict too, for the rows that theirs are. LARGE=0 leaves the rows with 1,048,576 pages out
# (15 GiB of memory, some minutes).

BENCH_TMEM_OBJ    := $(patsubst %,$O/bench/tests/bench/tmem/%.c.o,bench contents operations measure store cells machine) \
	$(BENCH_ENGINE_OBJ)

$O/bench/bench_tmem: $(BENCH_TMEM_OBJ)
	$(call quiet,HOSTLD,$@)$(CC) $^ -lpthread -o $@
-include $(BENCH_TMEM_OBJ:.o=.d)

.PHONY: bench-tmem bench-tmem-built
bench-tmem:
	@tools/deps.sh build bench
	@$(MAKE) bench-tmem-built
bench-tmem-built: $O/bench/bench_tmem $O/bench/bench_pack $O/bench/bench_evict $(EVICT_RECORDED)
	$Q$(PYTHON) tests/bench/tmem/bench_tmem.py --program $O/bench/bench_tmem --pack $O/bench/bench_pack \
		--evict $O/bench/bench_evict $(EVICT_TRACES) --out $O/figures/bench-tmem.tsv $(if $(filter 0,$(LARGE)),--no-large)
