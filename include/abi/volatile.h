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

/*
 * Where CPUID says SLUICE_FEATURE_VE, a vCPU may have such touches as virtualization exceptions
 * (Intel SDM vol. 3, 26.5.7) in place of the page fault and of the exit that it takes:
 *
 *   VOLATILE_VE  gpa of the calling vCPU's information page | 1, or 0 for none -> 0
 *
 * -ENOSYS without the feature; -EINVAL: other bits below the page; -EFAULT: no RAM, or discarded;
 * -ENOMEM; -EBUSY: pinned too often. The page is pinned meanwhile, and stays registered through
 * INIT. The processor fills it in and sets @busy; as long as that is not 0 there is no further #VE,
 * and touches take the ordinary way: zeros for a page that is stable by now, else the page fault.
 * So the handler makes the page stable, touches it, and then clears @busy. Whoever has found out by
 * volatile_hold() that a page was discarded, and is about to touch it, sets @busy meanwhile and
 * saves the exception. One may also come for a page that the balloon has since taken, or that is
 * no longer registered: a touch with @busy set is answered as any.
 */
#define VOLATILE_VE_ON     1u
#define VOLATILE_VE_VECTOR 20u

struct volatile_ve {
	uint32_t reason; /* 48: EPT violation */
	uint32_t busy;
	uint64_t qualification; /* bit 0 read, 1 write, 2 fetch (table 28-7) */
	uint64_t linear_address;
	uint64_t guest_physical_address;
	uint16_t eptp_index;
};

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
