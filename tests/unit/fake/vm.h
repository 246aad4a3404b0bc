/*
 * Guests for hosted tests of kernel/vm/: VMs with memory and nothing else, and the two vendors'
 * nested layouts. tmem is off until a test sets tmem_store.
 */
#ifndef FAKE_VM_H
#define FAKE_VM_H

#include "kernel/vm/vm.h"

/* Copies of what the vendors define, so that a test names the bits it expects. */
extern const struct nested_layout fake_ept, fake_npt;

/* A VM in slot @slot, its memory not yet created. Slots are emptied by fake_vms_reset(). */
struct vm *fake_vm(unsigned slot);
void fake_vms_reset(void);

/* Every CPU passes the epoch of now; the caller runs as CPU 0 then. */
void fake_all_pass(void);
/* Lets every CPU pass until limbo is empty. */
void fake_limbo_empty(void);

/* Gives back what earlier VMs held, then frames and per-CPU state of a fresh machine:
 * fake_machine_start(), frames_init(), percpu_init(). */
void fake_core_start(u64 bytes, unsigned cpus);

/* A walk as the processor does it: the host address behind @address and the leaf's level, or ~0. */
u64 fake_translate(const struct memory *memory, u64 address, unsigned *level);
/* The level of the leaf over guest frame @frame, 0 if there is none. */
unsigned fake_level_at(const struct memory *memory, u64 frame);

#endif
