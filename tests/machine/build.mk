# An image that tries the processor floor by itself: the real floors up to the core, with another
# kernel_main(). Its command line names the case (tests/boot/test_machine.py).

MACHINE_SRC := $(wildcard tests/machine/*.c tests/machine/*.S)
MACHINE_OBJ := $(MACHINE_SRC:%=$O/hv/%.o) \
	$(filter $O/hv/lib/% $O/hv/kernel/core/% $(LZ4_OBJ),$(HV_OBJ)) \
	$(foreach o,$(HV_OBJ),$(if $(filter $O/hv/arch/x86/,$(dir $o)),$o))

$O/machine.elf: $(MACHINE_OBJ) linker.ld $(SYMBOLS_PY)
	$(call quiet,LD,$@)tools/link.sh $@ linker.ld $(NEWLIB_HV_DIR)/libc.a $(MACHINE_OBJ)

-include $(MACHINE_OBJ:.o=.d)

.PHONY: machine
machine: $O/machine.elf
all: machine
