# `make bench-tmem`: what the tmem engine's operations cost on this host; $O/figures/bench-tmem.tsv.
# LARGE=1 adds the rows with 1,048,576 pages (14 GiB of memory, some minutes).

BENCH_TMEM_CFLAGS := -std=gnu11 -O2 -g -fno-strict-aliasing -fno-omit-frame-pointer $(WARNINGS) -I. -Iinclude
# The engine as the hypervisor compiles it.
BENCH_TMEM_ENGINE := -ffreestanding -mgeneral-regs-only -fno-tree-loop-distribute-patterns
BENCH_TMEM_OBJ    := $(patsubst %,$O/bench/%.o,$(wildcard tmem/*.c) tests/bench/tmem/bench.c \
	tests/bench/tmem/host.c tests/bench/tmem/compress.c arch/x86/pages.S) $(LZ4_OBJ)

$O/bench/tmem/%.c.o: tmem/%.c
	$(call quiet,HOSTCC,$<)mkdir -p $(@D) && $(CC) $(BENCH_TMEM_CFLAGS) $(BENCH_TMEM_ENGINE) -MMD -MP -c $< -o $@
$O/bench/tests/bench/tmem/%.c.o: tests/bench/tmem/%.c
	$(call quiet,HOSTCC,$<)mkdir -p $(@D) && $(CC) $(BENCH_TMEM_CFLAGS) -fno-tree-loop-distribute-patterns -MMD -MP -c $< -o $@
$O/bench/arch/%.S.o: arch/%.S
	$(call quiet,HOSTAS,$<)mkdir -p $(@D) && $(CC) -c $< -o $@
$O/bench/bench_tmem: $(BENCH_TMEM_OBJ)
	$(call quiet,HOSTLD,$@)$(CC) $^ -lpthread -o $@
-include $(BENCH_TMEM_OBJ:.o=.d)

.PHONY: bench-tmem
bench-tmem:
	@tools/deps.sh bench
	@$(MAKE) $O/bench/bench_tmem
	$Q$(PYTHON) tests/bench/tmem/bench_tmem.py --program $O/bench/bench_tmem --out $O/figures/bench-tmem.tsv \
		$(if $(filter 1,$(LARGE)),--large)
