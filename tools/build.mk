# The host's tools.

HOST_CFLAGS := -std=gnu11 -O2 -g $(WARNINGS) -I. -Iinclude

MANIFEST_SRC := $(wildcard manifest/*.c)
MANIFEST_CHECK := $O/tools/sluice-manifest

$(MANIFEST_CHECK): tools/manifest_check.c $(MANIFEST_SRC) $(wildcard manifest/*.h) lib/types.h
	$(call quiet,HOSTCC,$@)mkdir -p $(@D) && $(CC) $(HOST_CFLAGS) -o $@ $(filter %.c,$^)

# So that a run of Bochs repeats.
BOCHS_SEED := $O/tools/bochs_seed.so

$(BOCHS_SEED): tools/bochs_seed.c
	$(call quiet,HOSTCC,$@)mkdir -p $(@D) && $(CC) $(HOST_CFLAGS) -fPIC -shared -o $@ $<

all: $(MANIFEST_CHECK) $(BOCHS_SEED)

# ---- The experiment ----

BACKEND ?=
# More for the two tools, such as overrides: make run ARGS='guest.*.cmdline~=seed=2'
ARGS    ?=

.PHONY: run compare run-built compare-built
run compare:
	@tools/deps.sh build run
	@$(MAKE) $@-built
run-built: all hosted
	@O=$(abspath $O) $(PYTHON) tools/run.py $(if $(BACKEND),--backend $(BACKEND)) $(ARGS)
compare-built: all hosted
	@O=$(abspath $O) $(PYTHON) tools/compare.py $(if $(BACKEND),--backends $(BACKEND)) $(if $(SEED),--seed $(SEED)) $(ARGS)
