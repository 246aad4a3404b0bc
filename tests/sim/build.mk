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
