# `make bench-pack`: what compressed pages take and cost on this host; $O/figures/bench-pack.tsv.

BENCH_PACK_OBJ := $O/bench/tests/bench/pack/bench.c.o $(BENCH_ENGINE_OBJ)

$O/bench/tests/bench/pack/%.c.o: tests/bench/pack/%.c
	$(call quiet,HOSTCC,$<)mkdir -p $(@D) && $(CC) $(BENCH_TMEM_CFLAGS) -fno-tree-loop-distribute-patterns -MMD -MP -c $< -o $@
$O/bench/bench_pack: $(BENCH_PACK_OBJ)
	$(call quiet,HOSTLD,$@)$(CC) $^ -o $@
-include $(BENCH_PACK_OBJ:.o=.d)

.PHONY: bench-pack
bench-pack:
	@tools/deps.sh build bench
	@$(MAKE) $O/bench/bench_pack
	$Q$(PYTHON) tests/bench/pack/bench_pack.py --program $O/bench/bench_pack --out $O/figures/bench-pack.tsv
