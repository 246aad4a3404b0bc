# The small test guests: $O/guests/NAME.elf. Each is its own sources plus tests/guests/common/.
# $(call test_guest,NAME,SOURCES) adds one.

TEST_GUEST_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -mno-red-zone -mgeneral-regs-only -fno-pic -fno-pie \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	-fno-tree-loop-distribute-patterns $(SAME_PATHS) $(WARNINGS) -Iinclude -Itests/guests/common
TEST_GUEST_COMMON := $(wildcard tests/guests/common/*.c tests/guests/common/*.S)
TEST_GUESTS :=

define test_guest
TEST_GUESTS += $$O/guests/$(1).elf
$$O/guests/$(1).elf: $$(patsubst %,$$O/guest-obj/%.o,$(2) $$(TEST_GUEST_COMMON)) tests/guests/common/guest.ld
	$$(call quiet,LD,$$@)mkdir -p $$(@D) && $$(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,-z,max-page-size=4096 -T tests/guests/common/guest.ld -o $$@ $$(filter %.o,$$^)
endef

$O/guest-obj/%.c.o: %.c tests/guests/build.mk
	$(call quiet,CC,$<)mkdir -p $(@D) && $(CC) $(TEST_GUEST_CFLAGS) -MMD -MP -c $< -o $@
$O/guest-obj/%.S.o: %.S tests/guests/build.mk
	$(call quiet,AS,$<)mkdir -p $(@D) && $(CC) $(TEST_GUEST_CFLAGS) -MMD -MP -c $< -o $@

# A folder with a main.c is a guest of that name; what it links beside its own sources:
TEST_GUEST_EXTRA_volatile := tests/guests/hostile/second.c
TEST_GUEST_EXTRA_again := tests/guests/hostile/second.c tests/guests/disk/driver.c tests/guests/disk/windows.c \
	tests/guests/vectors/wide.c tests/guests/vectors/wide.S
TEST_GUEST_EXTRA_smp := tests/guests/vectors/wide.c tests/guests/vectors/wide.S
TEST_GUEST_EXTRA_devices := tests/guests/disk/windows.c
TEST_GUEST_EXTRA_echo := tests/guests/disk/windows.c
TEST_GUEST_EXTRA_move  := tests/guests/smp/machine.c
TEST_GUEST_EXTRA_bench := arch/x86/pages.S tests/guests/litmus/machine.c
$(foreach g,$(patsubst tests/guests/%/main.c,%,$(wildcard tests/guests/*/main.c)),\
	$(eval $(call test_guest,$g,$(wildcard tests/guests/$g/*.c tests/guests/$g/*.S) $(TEST_GUEST_EXTRA_$g))))

-include $(shell find $O/guest-obj -name '*.d' 2>/dev/null)

.PHONY: test-guests
test-guests: $(TEST_GUESTS)
all: test-guests
