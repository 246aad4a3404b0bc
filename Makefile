# Sluice: one Makefile. `make help` lists what can be asked for; everything built lands in build/ (O=).
#
#   make            the hypervisor, the guests and the host's tools
#   make run        the main job in an emulator          (BACKEND=qemu|bochs|kvm)
#   make check      all tests of CI                      make check-all  and the long ones
#   make compare    the experiment's table               make bench      instruction counts
#   make iso        an image of MANIFEST=my.toml         make fuzz       all fuzzers, T=60 seconds each
#   make sim        the balloon policies simulated
#   make linux      a Debian kernel, initrds and the tmem module for Linux guests
#   make lint       clang-tidy and cppcheck              make format     clang-format
#
# V=1 shows commands; DEBUG=1 builds with lock-order assertions.

O       ?= build
V       ?= 0
DEBUG   ?= 0
Q       := $(if $(filter 1,$V),,@)
PYTHON  := /usr/bin/python3

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-print-directory -r

quiet = $(if $(filter 1,$V),,@printf '  %-7s %s\n' '$1' '$2';)

CC      := gcc
WARNINGS := -Wall -Wextra -Wundef -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wwrite-strings -Wold-style-definition -Werror

# What is built does not depend on where: an image of the same size takes GRUB the same time (docs/testing.md).
SAME_PATHS = -ffile-prefix-map=$(CURDIR)=.

# ---- The hypervisor -------------------------------------------------------------------------------

FLOORS  := lib tmem balloon manifest arch/x86 kernel/core kernel/vm kernel/block kernel/virtio \
	arch/x86/guest arch/x86/vmx arch/x86/svm kernel
HV_SRC  := $(foreach f,$(FLOORS),$(wildcard $f/*.c $f/*.S))
# Files that only compute offsets for assembly.
HV_SRC  := $(filter-out %/asm_offsets.c,$(HV_SRC))
HV_OBJ  := $(HV_SRC:%=$O/hv/%.o)

NEWLIB_HV    = $(shell tools/newlib.sh hypervisor)
HV_CFLAGS    = -std=gnu11 -g -ffreestanding -mno-red-zone -mgeneral-regs-only -fno-pic -fno-pie \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -mcmodel=kernel \
	-fno-strict-aliasing -fno-omit-frame-pointer -fno-common -ffunction-sections -fdata-sections \
	-fno-tree-loop-distribute-patterns -fno-align-jumps -fno-align-loops -fno-align-labels \
	$(WARNINGS) -I. -Iinclude -I$O/gen -isystem $(NEWLIB_HV_DIR)/include \
	$(SAME_PATHS) -ffile-prefix-map=$(NEWLIB_HV_DIR)=newlib \
	$(if $(filter 1,$(DEBUG)),-DSLUICE_DEBUG)
# The image has a size budget (linker.ld), so only what lies on the way of an exit is compiled for speed.
HV_HOT       := tmem/get.c tmem/leave_any.c tmem/drop.c tmem/flush_page.c tmem/put.c tmem/put_recent.c tmem/put_first.c tmem/put_any.c tmem/flush_object.c tmem/pool.c tmem/index_find.c tmem/index_insert.c tmem/index_remove.c tmem/table.c tmem/table_grow.c tmem/chain.c tmem/arena.c tmem/arena_single.c tmem/slab.c \
	tmem/content.c tmem/flip.c tmem/filter_add.c tmem/aging.c tmem/history.c \
	arch/x86/vmx/vmx_run.c arch/x86/vmx/vmx_exits.c arch/x86/vmx/vmx_events.c \
	arch/x86/svm/svm_events.c arch/x86/svm/svm_run.c arch/x86/svm/svm_exits.c \
	arch/x86/guest/lapic.c arch/x86/guest/msr.c arch/x86/guest/ports.c arch/x86/guest/cpuid.c \
	kernel/vm/hypercall.c kernel/vm/memory.c kernel/vm/memory_populate.c kernel/vm/flip.c kernel/vm/memory_flip.c \
	kernel/vm/reclaim.c kernel/vm/sched.c kernel/vm/tmem_port.c kernel/core/lock.c kernel/core/frame.c \
	kernel/core/timer.c kernel/core/percpu.c kernel/dispatch.c kernel/timers.c
# What only boot runs, text and constants: given back once it is over (docs/boot.md). Single functions of
# other files say __init. Nothing that stays may refer to either; tests/source/test_init.py looks.
HV_INIT      := $(wildcard manifest/*.c) kernel/main.c kernel/boot_manifest.c kernel/core/frame_boot.c \
	arch/x86/early.c arch/x86/multiboot.c arch/x86/ranges.c arch/x86/paging.c arch/x86/acpi.c arch/x86/machine.c \
	arch/x86/ioapic.c arch/x86/smp.c arch/x86/tsc_check.c arch/x86/clock_measure.c arch/x86/mca.c arch/x86/xsave.c arch/x86/copy.c arch/x86/copy_choice.c arch/x86/guest/elf.c \
	arch/x86/guest/pvh.c arch/x86/guest/acpi_tables.c arch/x86/guest/aml.c arch/x86/vmx/vmx_capabilities.c arch/x86/svm/svm_capabilities.c \
	arch/x86/svm/svm_permissions.c
HV_ASFLAGS   = $(HV_CFLAGS) -D__ASSEMBLY__

# Resolved once, only when the hypervisor is built.
NEWLIB_HV_DIR = $(eval NEWLIB_HV_DIR := $(NEWLIB_HV))$(NEWLIB_HV_DIR)

OFFSETS := $O/gen/asm_offsets.h

$O/hv/%.c.o: %.c $(OFFSETS) Makefile
	$(call quiet,CC,$<)mkdir -p $(@D) && $(CC) $(HV_CFLAGS) $(if $(filter $(HV_HOT),$<),-O2,-Os) -MMD -MP -c $< -o $@ \
		$(if $(filter $(HV_INIT),$<),&& objcopy --prefix-alloc-sections=.init $@)

$O/hv/%.S.o: %.S $(OFFSETS) Makefile
	$(call quiet,AS,$<)mkdir -p $(@D) && $(CC) $(HV_ASFLAGS) -MMD -MP -c $< -o $@

# Offsets of struct fields for assembly, from the structs themselves: every asm_offsets.c holds lines
# OFFSET(NAME, type, field), compiled to assembly and picked out.
OFFSETS_SRC := $(wildcard arch/x86/asm_offsets.c arch/x86/*/asm_offsets.c)
$(OFFSETS): $(OFFSETS_SRC)
	$(call quiet,GEN,$@)mkdir -p $(@D) && { echo '/* Generated from asm_offsets.c. */'; \
	for f in $(OFFSETS_SRC); do \
		$(CC) $(HV_CFLAGS) -MMD -MP -MT $@ -MF $O/gen/$$(echo $$f | tr / _).d -S $$f -o - || exit 1; \
	done | sed -n 's/^.*@@\([A-Z0-9_]*\) \$$*\(-*[0-9]*\)@@.*$$/#define \1 \2/p'; } >$@
-include $(wildcard $O/gen/*.d)

# The screen's characters, from the font that comes with GRUB.
FONT := $O/gen/font.h
$(FONT): tools/font.py
	$(call quiet,GEN,$@)mkdir -p $(@D) && $(PYTHON) $< /usr/share/grub/ascii.pf2 >$@
$O/hv/arch/x86/screen.c.o $O/unit/obj/arch/x86/screen.c.o $O/unit/obj/tests/unit/test_screen.c.o: $(FONT)

# Two functions out of Debian's liblz4.a, which would link as a whole (tools/carve.py).
LZ4_OBJ := $O/hv/lz4.o
$O/gen/lz4.S: tools/carve.py
	$(call quiet,GEN,$@)mkdir -p $(@D) && $(PYTHON) $< $$($(CC) -print-file-name=liblz4.a) lz4.o \
		LZ4_compress_fast_extState LZ4_decompress_safe >$@
$(LZ4_OBJ): $O/gen/lz4.S
	$(call quiet,AS,$<)mkdir -p $(@D) && $(CC) -c $< -o $@
HV_OBJ += $(LZ4_OBJ)

SYMBOLS_PY := tools/symbols.py
$O/sluice.elf: $(HV_OBJ) linker.ld $(SYMBOLS_PY)
	$(call quiet,LD,$@)tools/link.sh $@ linker.ld $(NEWLIB_HV_DIR)/libc.a $(HV_OBJ)

HV := $O/sluice.elf
-include $(HV_OBJ:.o=.d)

.PHONY: all clean help hypervisor
hypervisor: $(HV)
all: hypervisor

# ---- The other houses bring their own rules ---------------------------------------------------------

include $(wildcard guest-shim/build.mk boot/build.mk tools/build.mk tests/build.mk tests/*/build.mk)

help:
	@sed -n 's/^#   make/  make/p' Makefile

clean:
	rm -rf $O
