# The host's tools.

HOST_CFLAGS := -std=gnu11 -O2 -g $(WARNINGS) -I. -Iinclude

MANIFEST_SRC := $(wildcard manifest/*.c)
MANIFEST_CHECK := $O/tools/sluice-manifest

$(MANIFEST_CHECK): tools/manifest_check.c $(MANIFEST_SRC) $(wildcard manifest/*.h) lib/types.h
	$(call quiet,HOSTCC,$@)mkdir -p $(@D) && $(CC) $(HOST_CFLAGS) -o $@ $(filter %.c,$^)

all: $(MANIFEST_CHECK)
