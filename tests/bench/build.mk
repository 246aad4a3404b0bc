# `make bench`: instruction counts of exits, and sizes, to $O/figures/bench.tsv.

.PHONY: bench bench-built
bench:
	@tools/deps.sh build run bench
	@$(MAKE) bench-built
bench-built: hypervisor test-guests guests $O/bench/bench_tmem
	$Q$(PYTHON) tests/bench/bench.py --hypervisor $(HV) --guests $O/guests --bench-tmem $O/bench/bench_tmem \
		--out $O/figures/bench.tsv $(BENCH_FLAGS)

# The engine and a host for it, for programs that measure it here.
BENCH_TMEM_CFLAGS := -std=gnu11 -O2 -g -fno-strict-aliasing -fno-omit-frame-pointer $(WARNINGS) -I. -Iinclude
# The engine as the hypervisor compiles it.
BENCH_TMEM_ENGINE := -ffreestanding -mgeneral-regs-only -fno-tree-loop-distribute-patterns
BENCH_ENGINE_OBJ  := $(patsubst %,$O/bench/%.o,$(wildcard tmem/*.c) kernel/vm/refaults.c balloon/ghosts.c \
	tests/bench/tmem/host.c tests/bench/tmem/compress.c tests/bench/tmem/sampled.c arch/x86/pages.S) $(LZ4_OBJ)

$O/bench/tmem/%.c.o: tmem/%.c
	$(call quiet,HOSTCC,$<)mkdir -p $(@D) && $(CC) $(BENCH_TMEM_CFLAGS) $(BENCH_TMEM_ENGINE) -MMD -MP -c $< -o $@
# The estimator, too, which the hypervisor has for size.
$O/bench/kernel/%.c.o $O/bench/balloon/%.c.o: BENCH_TMEM_CFLAGS += -Itests/unit/include -Os
$O/bench/kernel/%.c.o: kernel/%.c
	$(call quiet,HOSTCC,$<)mkdir -p $(@D) && $(CC) $(BENCH_TMEM_CFLAGS) $(BENCH_TMEM_ENGINE) -MMD -MP -c $< -o $@
$O/bench/balloon/%.c.o: balloon/%.c
	$(call quiet,HOSTCC,$<)mkdir -p $(@D) && $(CC) $(BENCH_TMEM_CFLAGS) $(BENCH_TMEM_ENGINE) -MMD -MP -c $< -o $@
$O/bench/tests/bench/tmem/sampled.c.o: BENCH_TMEM_CFLAGS += -Itests/unit/include
$O/bench/tests/bench/tmem/%.c.o: tests/bench/tmem/%.c
	$(call quiet,HOSTCC,$<)mkdir -p $(@D) && $(CC) $(BENCH_TMEM_CFLAGS) -fno-tree-loop-distribute-patterns -MMD -MP -c $< -o $@
$O/bench/arch/%.S.o: arch/%.S
	$(call quiet,HOSTAS,$<)mkdir -p $(@D) && $(CC) -c $< -o $@

include $(wildcard tests/bench/*/build.mk)
