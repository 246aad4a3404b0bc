/*
 * See volatile.h. The shim keeps a frame before it touches it, so that the fault of a discarded one
 * never comes; if it does, that is a panic with the frame's number.
 */
#include "guest-shim/volatile.h"

#include <abi/cpuid.h>
#include <abi/volatile.h>

#include "guest-shim/hypercall.h"
#include "guest-shim/paging.h"
#include "guest-shim/panic.h"

static u8 *states; /* by frame; NULL: there are no volatile pages */
static u32 end;

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

bool volatile_is_fault(u64 address, u64 error, u32 *frame)
{
	u64 number = (address - VOLATILE_BASE) >> PAGE_SHIFT;

	if (!(error & VOLATILE_FAULT) || !states || number >= end)
		return false;
	*frame = (u32)number;
	return true;
}
