# The simulation behind the experiment's sizes: the applications with their pages traced.

SIM_APPS := search sort scan

define sim_rule
$O/sim/$1: $(GUEST_$1) tests/sim/trace.c guest-shim/shim.h
	$$(call quiet,HOSTCC,$$@)mkdir -p $$(@D) && $(CC) -std=gnu11 -O2 -g $(WARNINGS) -I. -Iinclude \
		$$(filter %.c,$$^) -Wl,--wrap=open -Wl,--wrap=read -o $$@
endef
$(foreach a,$(SIM_APPS),$(eval $(call sim_rule,$a)))

.PHONY: sim-experiment
sim-experiment: $(SIM_APPS:%=$O/sim/%) $O/guests/newlib.tar $(MANIFEST_CHECK)
	@O=$O $(PYTHON) tests/sim/demand.py

# The balloon simulator: balloon/ and the tmem engine's eviction as the hypervisor has them, over generated workloads
# (docs/balloon.md).
SIM_BALLOON_SRC := $(wildcard balloon/*.c tests/sim/balloon/*.c) tmem/history.c tmem/queues.c tmem/directory.c

$O/sim/simulate: $(SIM_BALLOON_SRC) $(wildcard balloon/*.h tests/sim/balloon/*.h tmem/*.h tests/unit/tmem_host/*.h)
	$(call quiet,HOSTCC,$@)mkdir -p $(@D) && $(CC) -std=gnu11 -O2 -g $(WARNINGS) -I. -Iinclude $(filter %.c,$^) -o $@

# What the experiment's guests touch, recorded on the host: the number is the seed, as those of generated traces
# (balloon.py).
define recorded_rule
$O/sim/experiment-3.$1.pages: tests/sim/record.py tests/sim/demand.py $(SIM_APPS:%=$O/sim/%) $O/guests/newlib.tar $(MANIFEST_CHECK)
	$$(call quiet,RECORD,$$@)O=$O $(PYTHON) $$< $1 $$@
endef
RECORDED := 1 21 41 61 101 121 141 161
$(foreach seed,$(RECORDED),$(eval $(call recorded_rule,$(seed))))

.PHONY: sim
sim: $O/sim/simulate $(RECORDED:%=$O/sim/experiment-3.%.pages)
	@O=$O $(PYTHON) tests/sim/balloon.py --jobs $(JOBS)
