# The applications: a line each, GUEST_name := its sources (from the root).
GUEST_hello := guest-shim/apps/hello.c
GUEST_talk  := guest-shim/apps/talk.c

APPS_COMMON  := $(addprefix guest-shim/apps/,options.c randomness.c schedule.c corpus.c)
GUEST_search := guest-shim/apps/search.c guest-shim/apps/index.c $(APPS_COMMON)
GUEST_sort   := guest-shim/apps/sort.c $(APPS_COMMON)
GUEST_scan   := guest-shim/apps/scan.c $(APPS_COMMON)

# Their data: a part of newlib's own sources.
$O/guests/newlib.tar: tools/dataset.sh
	$(call quiet,PACK,$@)mkdir -p $(@D) && tools/dataset.sh $O/newlib-data $@
guests: $O/guests/newlib.tar
