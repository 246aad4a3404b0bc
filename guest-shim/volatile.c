/*
 * See volatile.h. The shim keeps a frame before it touches it, so that the fault of a discarded one
 * never comes; if it does, that is a panic with the frame's number.
 */
#include "guest-shim/volatile.h"

#include <abi/cpuid.h>
#include <abi/volatile.h>

#include "guest-shim/counters.h"
#include "guest-shim/frames.h"
#include "guest-shim/hypercall.h"
#include "guest-shim/paging.h"
#include "guest-shim/panic.h"

static u8 *states; /* by frame; NULL: there are no volatile pages */
static u32 end;

/* Where the processor of the first vCPU tells of #VE; it has its page for itself. */
static union {
	volatile struct volatile_ve ve;
	u8 page[PAGE_SIZE];
} information __aligned_to(PAGE_SIZE);

size_t volatile_bytes(bool wanted, u32 count)
{
	if (!wanted || !(hypercall_features() & SLUICE_FEATURE_VOLATILE))
		return 0;
	return ROUND_UP((size_t)count, PAGE_SIZE);
}

void volatile_init(u8 *bytes, u32 count)
{
	s64 result;

	if (!bytes)
		return;
	result = hypercall(HYPERCALL_VOLATILE_REGISTER, 0, count, (u64)bytes, VOLATILE_BASE, 0);
	if (result != 0)
		panic("volatile pages are offered, but those up to %x are refused: %lld",
			(unsigned)count, (long long)result);
	states = bytes;
	end = count;
	if (!(hypercall_features() & SLUICE_FEATURE_VE))
		return;
	result = hypercall(HYPERCALL_VOLATILE_VE, (u64)&information | VOLATILE_VE_ON, 0, 0, 0, 0);
	if (result != 0)
		panic("virtualization exceptions are offered, but refused: %lld",
			(long long)result);
}

bool volatile_is_on(void)
{
	return states != NULL;
}

void volatile_let_go(u32 frame)
{
	if (states)
		volatile_release(&states[frame]);
}

bool volatile_keep(u32 frame)
{
	return !states || volatile_hold(&states[frame]);
}

void volatile_exception(void)
{
	u64 frame = information.ve.guest_physical_address >> PAGE_SHIFT;

	if (frame < end && (__atomic_load_n(&states[frame], __ATOMIC_ACQUIRE) & VOLATILE_STATE))
		panic("frame %x is touched while it may be discarded", (unsigned)frame);
	counters.volatile_exceptions++;
	/* As long as @busy is set a touch takes an exit, and brings the page. */
	(void)*(volatile u8 *)frame_address((u32)frame);
	information.ve.busy = 0;
}

bool volatile_is_fault(u64 address, u64 error, u32 *frame)
{
	u64 number = (address - VOLATILE_BASE) >> PAGE_SHIFT;

	if (!(error & VOLATILE_FAULT) || !states || number >= end)
		return false;
	*frame = (u32)number;
	return true;
}
