# `make bench-evict`: eviction policies for ephemeral pools compared; $O/figures/bench-evict.tsv.

EVICT_SRC := $(wildcard tests/bench/evict/*.c) tmem/history.c tmem/queues.c tmem/directory.c

$O/bench/bench_evict: $(EVICT_SRC) $(wildcard tests/bench/evict/*.h tmem/*.h tests/unit/tmem_host/*.h) lib/types.h
	$(call quiet,HOSTLD,$@)mkdir -p $(@D) && $(CC) -std=gnu11 -O2 -g $(WARNINGS) -I. -Iinclude $(filter %.c,$^) -lm -o $@

# The experiment's guests, recorded on the host (tests/sim/trace.c): their work by application, their RAM without
# what cannot be paged (tests/sim/demand.py), and seeds; those from 501 on were not used when the policy was made.
EVICT_WORK_search := turn=0 queries=20000 kinds=12000 idle_queries=1000 popular=100
EVICT_WORK_scan   := turn=2 files=1100 hot=25 passes=8 idle_passes=4
EVICT_RAM_search  := 1868
EVICT_RAM_scan    := 1356
EVICT_SEEDS       := 1 2 501 502
EVICT_RECORDED    := $(foreach a,search scan,$(foreach s,$(EVICT_SEEDS),$O/bench/evict/$a.$s))
EVICT_TRACES      := $(foreach a,search scan,$(foreach s,$(EVICT_SEEDS),guest_$a:$s:$(EVICT_RAM_$a):$O/bench/evict/$a.$s))

define evict_trace
$O/bench/evict/$1.$2: $O/sim/$1 $O/guests/newlib.tar
	$$(call quiet,TRACE,$$@)mkdir -p $$(@D) && SHIM_DATA=$(abspath $O)/newlib-data SHIM_TRACE=$(abspath $O)/bench/evict/$1.$2.part \
		$$< $(EVICT_WORK_$1) rounds=2 seed=$2 turn_ms=1 >/dev/null && mv $$@.part $$@
endef
$(foreach a,search scan,$(foreach s,$(EVICT_SEEDS),$(eval $(call evict_trace,$a,$s))))

.PHONY: bench-evict
bench-evict: $O/bench/bench_evict $(EVICT_RECORDED)
	$Qmkdir -p $O/figures && $< $O/figures/bench-evict.tsv $(EVICT_TRACES)
