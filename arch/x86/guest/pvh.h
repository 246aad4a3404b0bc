/*
 * Loads a guest: an ELF image with a PVH note (XEN_ELFNOTE_PHYS32_ENTRY), its initrd and command
 * line, and the hvm_start_info that tells it about them. The image is hostile until checked.
 */
#ifndef GUEST_PVH_H
#define GUEST_PVH_H

#include "arch/x86/arch.h"
#include "kernel/vm/vm.h"

/*
 * Fills the RAM of @vm and vcpu 0's @start (START_PVH, with VCPU_REQ_START requested);
 * sched_start() of vcpu 0 is the caller's. @initrd may be NULL. The command line is
 * vm->config->cmdline. 0, or a negative errno after one message that names guest, module, value and
 * valid range.
 */
int __must_check pvh_load(
	struct vm *vm, const struct boot_module *kernel, const struct boot_module *initrd);

#endif
