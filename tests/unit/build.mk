# Hosted unit tests: the hypervisor's own sources, compiled for the host with cmocka, AddressSanitizer and
# UndefinedBehaviorSanitizer. Every tests/unit/test_X.c is one program; tests/unit/X.mk (or any other
# fragment there) names what it tests:
#
#   test_X_SRC := kernel/core/frame.c tests/unit/fake/machine.c
#   test_X_SANITIZE := thread       (ThreadSanitizer in place of the two others)
#
# tests/unit/include/ stands first on the include path: its arch/x86/arch.h is a machine in memory.
# `make check-unit` runs all; `make build/unit/test_X` builds one.

UNIT_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
UNIT_CFLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing $(WARNINGS) \
	-Itests/unit/include -Itests/unit -I. -Iinclude -I$O/gen -DSLUICE_DEBUG \
	-Dvsniprintf=vsnprintf -Dsniprintf=snprintf
UNIT_LDFLAGS := -lcmocka -lpthread -lm

include $(filter-out tests/unit/build.mk,$(wildcard tests/unit/*.mk))

UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
UNIT_BIN   := $(UNIT_TESTS:%=$O/unit/%)

$O/unit/obj/%.c.o: %.c
	$(call quiet,HOSTCC,$<)mkdir -p $(@D) && $(CC) $(UNIT_CFLAGS) $(UNIT_SANITIZE) -MMD -MP -c $< -o $@
# ThreadSanitizer does not see a memset() or memcpy() that the compiler expands.
$O/unit/obj-thread/%.c.o: %.c
	$(call quiet,HOSTCC,$<)mkdir -p $(@D) && $(CC) $(UNIT_CFLAGS) -fsanitize=thread -Wno-tsan -fno-builtin -MMD -MP -c $< -o $@

$O/unit/obj/%.S.o: %.S
	$(call quiet,HOSTAS,$<)mkdir -p $(@D) && $(CC) -MMD -MP -c $< -o $@

unit_objects = $(patsubst %,$O/unit/obj$($1_SANITIZE:%=-%)/%.o,tests/unit/$1.c $($1_SRC))
define unit_program
$O/unit/$1: $(call unit_objects,$1)
	$$(call quiet,HOSTLD,$$@)$(CC) $$^ $(if $($1_SANITIZE),-fsanitize=$($1_SANITIZE),$(UNIT_SANITIZE)) \
		$(UNIT_LDFLAGS) $($1_LIBS) -o $$@
-include $(patsubst %.o,%.d,$(call unit_objects,$1))
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call unit_program,$t)))

.PHONY: check-unit unit
unit: $(UNIT_BIN)
check-unit: unit
	@JOBS=$(JOBS) tests/unit/run.sh $O/unit $(UNIT_TESTS)
