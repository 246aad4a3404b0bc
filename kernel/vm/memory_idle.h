/*
 * How much of a guest's RAM lies idle, and for how long: an estimate by the accessed bits of the
 * nested tables (docs/memory.md, "Idle memory"). For the balloon policies.
 */
#ifndef VM_MEMORY_IDLE_H
#define VM_MEMORY_IDLE_H

#include "balloon/balloon.h"
#include "kernel/vm/vm.h"

/* The state of a guest's estimate, where the processor keeps accessed bits; says once in the log
 * where it does not. Part of memory_create() and memory_destroy(). 0 or -ENOMEM. */
int __must_check memory_idle_create(struct memory *memory);
void memory_idle_destroy(struct memory *memory);

/*
 * Looks at no more than 512 entries, clears their accessed bits, and has every CPU flush before its
 * next entry of this VM if there were any. Once a tick of the policies, on the boot CPU; takes
 * LOCK_MEMORY for splitting a 1 GiB page only, and waits for nobody.
 */
void memory_idle_tick(struct vm *vm);

/*
 * The last tick in pages, scaled up to all that is populated: @idle by the time since it was last
 * seen used, in ticks, classes as in struct balloon_sample; @touched what was used in that tick, by
 * the time since the use before. What is ballooned or unpopulated counts nowhere. False, with
 * nothing written, where there are no accessed bits or fewer than two ticks were seen. The boot
 * CPU.
 */
bool memory_idle_sample(const struct vm *vm, u64 idle[BALLOON_AGES], u64 touched[BALLOON_AGES]);

#endif
