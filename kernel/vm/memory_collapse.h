/*
 * Small pages become a large one (memory_collapse.c), for the files of kernel/vm/ that meet pages
 * on their way.
 */
#ifndef VM_MEMORY_COLLAPSE_H
#define VM_MEMORY_COLLAPSE_H

#include "kernel/vm/vm.h"

/*
 * @frame was found GFN_MOVING. Finishes the move if that is possible; else the touch must come
 * again if it can (@restartable, returns true), or the move is called off. When false, look again.
 * Takes LOCK_MEMORY.
 */
bool memory_collapse_touch(struct vm *vm, u64 frame, bool restartable);

/* Calls off what is on its way; all its pages are as before. LOCK_MEMORY is held, or nothing of the
 * VM runs any more. */
void memory_collapse_cancel(struct memory *memory);

#endif
