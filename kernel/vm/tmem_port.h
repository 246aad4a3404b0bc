/*
 * The one tmem store of the machine, and whether its persistent pages leave room for what guests
 * were promised. tmem_port.c gives the engine what tmem/port.h asks for.
 */
#ifndef VM_TMEM_PORT_H
#define VM_TMEM_PORT_H

#include "tmem/tmem.h"

/* NULL while tmem is off. Set once at boot (kernel/vm/vm.c). */
extern struct tmem *tmem_store;

#endif
