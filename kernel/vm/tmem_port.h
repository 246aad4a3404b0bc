/*
 * The one tmem store of the machine, and whether its persistent pages leave room for what guests
 * were promised. tmem_port.c gives the engine what tmem/port.h asks for.
 */
#ifndef VM_TMEM_PORT_H
#define VM_TMEM_PORT_H

#include "lib/types.h"
#include "tmem/tmem.h"

/* NULL while tmem is off. Set once at boot (kernel/vm/vm.c). */
extern struct tmem *tmem_store;

/* Gives each CPU the compressor's state and room (28 KiB); to be called once all CPUs run, before a
 * store compresses. -ENOMEM after logging. */
int __must_check tmem_port_start_compression(void);

#endif
