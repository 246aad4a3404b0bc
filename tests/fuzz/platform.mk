# The PC that a guest sees, and its disks.
include tests/unit/memory.mk # for MEMORY_SRC
fuzz_decoder_SRC := arch/x86/guest/decode.c
fuzz_elf_SRC     := arch/x86/guest/elf.c
fuzz_blk_SRC     := $(MEMORY_SRC) kernel/block/ramdisk.c $(wildcard kernel/virtio/*.c)
fuzz_balloon_SRC := $(MEMORY_SRC) kernel/block/ramdisk.c $(wildcard kernel/virtio/*.c)
fuzz_balloon_FLAGS := $(FUZZ_NO_COMPARISONS)
fuzz_devices_SRC := $(MEMORY_SRC) kernel/block/ramdisk.c $(wildcard kernel/virtio/*.c)
fuzz_devices_FLAGS := $(FUZZ_NO_COMPARISONS)
fuzz_eoi_SRC := $(PC_SRC)
fuzz_eoi_FLAGS := $(FUZZ_NO_COMPARISONS)

$O/fuzz/reach/fuzz_devices: tests/fuzz/fuzz_devices.c $(fuzz_devices_SRC) $(wildcard tests/fuzz/*.h kernel/virtio/*.h tests/unit/fake/*.h)
	$(call quiet,FUZZCC,$@)mkdir -p $(@D) && $(FUZZ_CC) $(filter-out -fsanitize=% -fno-sanitize%,$(FUZZ_FLAGS)) \
		-fsanitize=fuzzer -fprofile-instr-generate -fcoverage-mapping -o $@ $(filter %.c,$^)

.PHONY: fuzz-reach-devices
fuzz-reach-devices: $O/fuzz/reach/fuzz_devices
	@tests/fuzz/reach_devices.sh $<
fuzz-reach: fuzz-reach-devices
