/*
 * How frames leave a guest (memory_remove.c), for the files of kernel/vm/ that take them.
 */
#ifndef VM_MEMORY_REMOVE_H
#define VM_MEMORY_REMOVE_H

#include "kernel/vm/vm.h"

/*
 * Makes 2^@order entries from @first on @to (a gfn entry without frame) and puts the frames that
 * stood there into limbo, all or none. @order is 0 or BLOCK_ORDER, @first aligned to it. With
 * @populated the guest must have frames there, else it may. Errors: see memory_inflate(). Takes
 * LOCK_MEMORY.
 */
int __must_check memory_take_away(
	struct vm *vm, gfn_t first, unsigned order, u64 to, bool populated);

#endif
