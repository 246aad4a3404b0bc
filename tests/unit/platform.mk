# The PC that a guest sees, and its disks.

DECODER_FORMS := $O/unit/gen/decoder_forms.h
$(DECODER_FORMS): tests/unit/decoder_forms.py
	$(call quiet,GEN,$@)mkdir -p $(@D) && $(PYTHON) $< $@
$O/unit/obj/tests/unit/test_decoder.c.o: $(DECODER_FORMS)
$O/unit/obj/tests/unit/test_decoder.c.o: UNIT_CFLAGS += -I$O/unit/gen

test_decoder_SRC := arch/x86/guest/decode.c arch/x86/guest/alu.c arch/x86/guest/walk.c
test_virtqueue_SRC := kernel/virtio/queue.c kernel/virtio/blk_request.c
test_elf_SRC := arch/x86/guest/elf.c
test_blk_SRC = $(MEMORY_SRC) kernel/block/ramdisk.c $(wildcard kernel/virtio/*.c)
test_blk_misuse_SRC = $(test_blk_SRC)
test_blk_life_SRC = $(test_blk_SRC)
test_balloon_SRC = $(MEMORY_SRC) kernel/block/ramdisk.c $(wildcard kernel/virtio/*.c)
test_balloon_target_SRC = $(test_balloon_SRC)
test_rng_SRC = $(test_balloon_SRC)
test_device_timers_SRC = $(test_balloon_SRC) kernel/timers.c
test_device_turns_SRC = $(test_device_timers_SRC)
test_disk_waits_SRC = $(test_device_timers_SRC)
test_disk_waits_LIBS := -Wl,--wrap=spin_lock,--wrap=spin_unlock
test_console_SRC = $(test_balloon_SRC)
test_policy_LIBS := -llz4
test_policy_plan_LIBS := $(test_policy_LIBS)
test_policy_pool_LIBS := $(test_policy_LIBS)
test_policy_SRC = $(test_tmem_port_SRC) kernel/block/ramdisk.c $(wildcard kernel/virtio/*.c balloon/*.c) \
	kernel/vm/balloon_control.c kernel/policy.c kernel/policy_plan.c kernel/policy_record.c kernel/samples.c tests/unit/fake/policy_guests.c
test_policy_plan_SRC = $(test_policy_SRC)
test_policy_pool_SRC = $(test_policy_SRC)
test_guest_uart_SRC = $(test_pc_SRC)
test_guest_uart_threads_SRC = $(test_pc_SRC)
test_guest_uart_threads_SANITIZE := thread
test_guest_uart_LIBS := $(test_disk_waits_LIBS)
test_lapic_SRC = $(test_pc_SRC)
test_pv_eoi_SRC = $(test_pc_SRC)
test_pc_SRC = $(PC_SRC)
test_xsave_SRC = $(test_pc_SRC)
test_mmio_SRC = $(MEMORY_SRC) $(addprefix arch/x86/guest/,mmio.c fetch.c decode.c alu.c walk.c)
test_guest_acpi_SRC := arch/x86/guest/acpi_tables.c arch/x86/guest/aml.c
test_kvmclock_SRC := arch/x86/guest/kvmclock.c
test_rtc_SRC := arch/x86/rtc.c
