/*
 * The IOAPIC of a VM (Intel 82093AA, version 0x20): 24 pins, edge or level. Pins and table entries
 * change under the VM's lock.
 */
#ifndef GUEST_IOAPIC_H
#define GUEST_IOAPIC_H

#include "kernel/vm/vm.h"
#include <abi/platform.h>

struct ioapic {
	u64 entries[PLATFORM_IOAPIC_PINS]; /* redirection table */
	u32 lines;                         /* pins asserted by their device */
	u32 select;
	u32 id;
};

/* All pins masked, none asserted. */
void ioapic_reset(struct ioapic *ioapic);
/* A 32-bit access to the window at PLATFORM_IOAPIC_BASE. */
u32 ioapic_read(struct vm *vm, u32 offset);
void ioapic_write(struct vm *vm, u32 offset, u32 value);

/*
 * The device behind @pin raises its line (each call is an edge) or lowers it. Any CPU; takes the
 * VM's lock.
 */
void ioapic_raise(struct vm *vm, unsigned pin);
void ioapic_lower(struct vm *vm, unsigned pin);
/* A LAPIC finished level-triggered @vector. Takes the VM's lock. */
void ioapic_end_of_interrupt(struct vm *vm, u8 vector);

#endif
