# Guests: the shim, newlib and one application each become $O/guests/NAME.elf. An application is a line
#   GUEST_name := sources
# in guest-shim/apps/apps.mk, or in the build.mk of a test guest that adds its own.

include guest-shim/apps/apps.mk
# The shim's own test, and guests that only want memory.
GUEST_shim := $(sort $(wildcard tests/guests/shim/*.c))
GUEST_hungry := tests/guests/hungry/hungry.c

NEWLIB_GUEST = $(eval NEWLIB_GUEST := $(shell tools/newlib.sh guest))$(NEWLIB_GUEST)
GCC_INCLUDE  := $(shell $(CC) -print-file-name=include)

# No red zone, since interrupts and faults arrive on the application's stack. newlib's headers must not take the
# build host's system for the target's.
CFLAGS_GUEST = -std=gnu11 -O2 -g -mno-red-zone -fno-pic -fno-pie -fno-stack-protector -fcf-protection=none \
	-fno-asynchronous-unwind-tables -fno-omit-frame-pointer -fno-common -ffunction-sections -fdata-sections \
	-U__linux__ -U__linux -Ulinux -U__gnu_linux__ -U__unix__ -U__unix -Uunix \
	-D_POSIX_TIMERS=1 -D_POSIX_MONOTONIC_CLOCK=200112L \
	$(SAME_PATHS) -ffile-prefix-map=$(NEWLIB_GUEST)=newlib \
	$(WARNINGS) -I. -Iinclude -nostdinc -isystem $(NEWLIB_GUEST)/include -isystem $(GCC_INCLUDE)
# The shim itself runs in fault handlers, where the application's vector registers must stay as they are.
CFLAGS_SHIM = $(CFLAGS_GUEST) -mgeneral-regs-only -fno-tree-loop-distribute-patterns

SHIM_SRC := $(sort $(wildcard guest-shim/*.c guest-shim/*.S))
SHIM_OBJ := $(SHIM_SRC:%=$O/shim/%.o)

$O/shim/%.c.o: %.c guest-shim/build.mk
	$(call quiet,CC,$< (shim))mkdir -p $(@D) && $(CC) $(CFLAGS_SHIM) -MMD -MP -c $< -o $@

$O/shim/%.S.o: %.S guest-shim/build.mk
	$(call quiet,AS,$< (shim))mkdir -p $(@D) && $(CC) $(CFLAGS_SHIM) -MMD -MP -c $< -o $@

$O/guest/%.c.o: %.c guest-shim/build.mk
	$(call quiet,CC,$< (guest))mkdir -p $(@D) && $(CC) $(CFLAGS_GUEST) -MMD -MP -c $< -o $@

GUESTS := $(patsubst GUEST_%,%,$(filter GUEST_%,$(.VARIABLES)))

define guest_rule
$O/guests/$1.elf: $(GUEST_$1:%=$O/guest/%.o) $(SHIM_OBJ) guest-shim/guest.ld
	$$(call quiet,LD,$$@)mkdir -p $$(@D) && $(CC) -static -nostdlib -no-pie -Wl,--gc-sections \
		-Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096 -T guest-shim/guest.ld \
		-o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(NEWLIB_GUEST)/libc.a $$(NEWLIB_GUEST)/libm.a \
		-Wl,--end-group -lgcc
OBJ_GUEST += $(GUEST_$1:%=$O/guest/%.o)
endef
$(foreach guest,$(GUESTS),$(eval $(call guest_rule,$(guest))))

-include $(SHIM_OBJ:.o=.d) $(OBJ_GUEST:.o=.d)

# The data disk of the shim's test.
$O/guests/shim.tar: tests/guests/shim/pack.py
	$(call quiet,PACK,$@)mkdir -p $(@D) && $< $@

# The same applications on the host (hosted/shim_hosted.c): build/hosted/NAME. They find their files in $SHIM_DATA.
HOSTED := $(filter-out shim hungry,$(GUESTS))

define hosted_rule
$O/hosted/$1: $(GUEST_$1) guest-shim/hosted/shim_hosted.c guest-shim/hosted/threads_hosted.c \
		guest-shim/shim.h guest-shim/threads.h
	$$(call quiet,HOSTCC,$$@)mkdir -p $$(@D) && $(CC) -std=gnu11 -O2 -g $(WARNINGS) -I. -Iinclude \
		$$(filter %.c,$$^) -o $$@ -lm -lpthread
endef
$(foreach guest,$(HOSTED),$(eval $(call hosted_rule,$(guest))))

.PHONY: guests hosted
hosted: $(HOSTED:%=$O/hosted/%)
guests: $(GUESTS:%=$O/guests/%.elf) $O/guests/shim.tar
all: guests
