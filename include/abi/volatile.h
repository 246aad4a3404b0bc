/*
 * Volatile pages: a guest says of pages whose content it can have again that the hypervisor may
 * discard them. One state byte a page, in the guest's own memory, which both sides change by
 * compare-and-swap:
 *
 *   STABLE -> VOLATILE     guest        VOLATILE -> DISCARDED  hypervisor
 *   VOLATILE -> STABLE     guest        DISCARDED -> STABLE    guest
 *
 * Whoever is to read or write a page, and be it by a device or a hypercall, makes it stable first
 * (volatile_hold). If it was discarded its content is gone then, and it is zeros at the next touch.
 * docs/volatile.md has the races. Where CPUID says SLUICE_FEATURE_VOLATILE there are the calls
 *
 *   VOLATILE_REGISTER    first gfn, pages, gpa of the state bytes, magic address, flags (0) -> 0
 *   VOLATILE_UNREGISTER  -> 0
 *
 * The state bytes of @pages pages are one range of RAM that begins with a page. A guest has one
 * such range at a time (-EBUSY).
 */
#ifndef ABI_VOLATILE_H
#define ABI_VOLATILE_H

#include <stdbool.h>
#include <stdint.h>

/* The state in a state byte; the guest may use its other bits. */
#define VOLATILE_STATE     0x03u
#define VOLATILE_STABLE    0x00u
#define VOLATILE_VOLATILE  0x01u
#define VOLATILE_DISCARDED 0x02u

/*
 * A touch of a page that is discarded raises a page fault with CR2 = magic address + (gfn - first
 * gfn) * 4096. Its error code has this bit, which no processor sets, beside those for a write (2)
 * and a fetch (16). The handler makes the page stable, or finds it so, and returns: the page is
 * zeros then. The magic address is a multiple of 4096, and it and the pages' addresses behind it
 * are canonical; 0: a guest that touches a discarded page is stopped.
 */
#define VOLATILE_FAULT 0x4000u

/* For the guest: from here on the hypervisor may discard the page, if it was stable. */
static inline void volatile_release(uint8_t *state)
{
	uint8_t old = __atomic_load_n(state, __ATOMIC_ACQUIRE);

	while ((old & VOLATILE_STATE) == VOLATILE_STABLE &&
		!__atomic_compare_exchange_n(state, &old, (uint8_t)(old | VOLATILE_VOLATILE), false,
			__ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
		;
}

/* For the guest: makes the page stable; false if its content is gone. */
static inline bool volatile_hold(uint8_t *state)
{
	uint8_t old = __atomic_load_n(state, __ATOMIC_ACQUIRE);

	while ((old & VOLATILE_STATE) != VOLATILE_STABLE &&
		!__atomic_compare_exchange_n(state, &old, (uint8_t)(old & ~VOLATILE_STATE), false,
			__ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
		;
	return (old & VOLATILE_STATE) != VOLATILE_DISCARDED;
}

#endif
