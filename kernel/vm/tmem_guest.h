/*
 * The tmem store as the manifest wants it, and what each guest has of it: a client of the store,
 * and refault distances. kernel/vm/tmem_port.c gives the engine what it asks for.
 */
#ifndef VM_TMEM_GUEST_H
#define VM_TMEM_GUEST_H

#include "lib/types.h"

struct tmem_machine_config;
struct vm;

/* Makes the store, once all CPUs run; false after logging what is missing. With tmem switched off
 * there is none. */
bool tmem_start(const struct tmem_machine_config *config);

/* Gives a VM whose memory is there what its manifest grants it: vm->tmem and vm->refaults, which
 * stay NULL without tmem. -ENOMEM with nothing made. */
int __must_check tmem_guest_create(struct vm *vm);
/* The same for a later life, of a VM with an image: the client is another one, with other keys.
 * -ENOMEM without a client. */
int __must_check tmem_guest_create_again(struct vm *vm);

/* Takes it back: a bounded step, -EAGAIN while there is more; 0 also if there is nothing. No vCPU
 * of the VM may run any more. vm->refaults stays for a later life, if there may be one. */
int __must_check tmem_guest_destroy(struct vm *vm);

#endif
