/*
 * Volatile pages (abi/volatile.h, docs/volatile.md) inside kernel/vm/: memory_volatile.c has a
 * guest's registration, its state bytes and its faults; memory_discard.c takes pages away.
 */
#ifndef VM_MEMORY_VOLATILE_H
#define VM_MEMORY_VOLATILE_H

#include "kernel/vm/vm.h"

/* The hypercalls of abi/volatile.h: the result for RAX. No lock may be held. */
s64 memory_volatile_call(struct vcpu *vcpu, u64 number);

/*
 * @frame, found discarded, is touched: makes it unpopulated if the guest has made it stable. 0, or
 * -EFAULT if it has not. Takes LOCK_MEMORY; no lock but LOCK_VM may be held.
 */
int __must_check memory_volatile_open(struct vm *vm, u64 frame);

/* The guest wrote to @frame, which is its RAM, and the write comes again: if it is volatile it
 * becomes stable. Takes LOCK_MEMORY. */
void memory_volatile_written(struct vm *vm, u64 frame);

/* @vcpu touched the discarded page @frame: raises the fault that the guest registered. False if it
 * did not. */
bool memory_volatile_fault(struct vcpu *vcpu, u64 frame, u32 access);

/* The VM is going: nobody discards its pages any more. No lock is held. */
void memory_volatile_close(struct vm *vm);

/* The state byte of @frame, valid as long as LOCK_MEMORY is held; NULL if @frame has none, or it is
 * not in memory. */
u8 *memory_volatile_state(const struct memory *memory, u64 frame);
/* Whether @frame itself holds state bytes. */
bool memory_volatile_holds_states(const struct memory *memory, u64 frame);
/* Compare-and-swap of the state alone. */
bool memory_volatile_swap(u8 *state, u8 from, u8 to);

/* ---- memory_discard.c --------------------------------------------------------------------- */

/*
 * Frames are wanted for @vm, or for the pool if that is NULL: begins to discard volatile pages, of
 * @vm or of guests that have more than they are entitled to, unless enough frames are on their way
 * already; and ends what can be ended, so that frames may be free afterwards. For the pool pages
 * that are in use are spared. Bounded. No lock but LOCK_VM may be held.
 */
void memory_discard(struct vm *vm);
/* Ends what can be ended. The head of the dispatch loop; no lock is held. */
void memory_discards_finish(void);
/* How many guests have volatile pages, or said that they will. */
unsigned memory_discard_guests(void);
/* Whether frames will come of what has begun. */
bool memory_discards_are_under_way(void);

/* @frame, found in state DISCARDING, is touched: it is RAM again, and with @keep it becomes stable.
 * Takes LOCK_MEMORY. */
void memory_discard_touch(struct vm *vm, u64 frame, bool keep);
/* Those under way in [@first, @first + @pages) are RAM again. LOCK_MEMORY is held. */
void memory_discard_cancel(struct memory *memory, u64 first, u64 pages);

/* Tells memory_discard() that there may be something to take, or not any more. LOCK_MEMORY is held.
 */
void memory_discard_expect(const struct memory *memory, bool pages);

#endif
