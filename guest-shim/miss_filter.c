/*
 * See miss_filter.h. The pool has one object, so the part of the hash that comes from the object is
 * computed once.
 */
#include "guest-shim/miss_filter.h"

#include <abi/cpuid.h>
#include <abi/errno.h>
#include <abi/filter.h>

#include "guest-shim/hypercall.h"
#include "guest-shim/paging.h"
#include "guest-shim/panic.h"
#include "guest-shim/reclaim.h"

static const void *window; /* NULL: nothing is known */
static struct tmem_filter_info info;
static uint64_t object_sum;

void miss_filter_open(s32 pool, u64 object)
{
	const u64 words[3] = {object, 0, 0};
	s64 result;

	if (!(hypercall_features() & SLUICE_FEATURE_TMEM_FILTER))
		return;
	result = hypercall(HYPERCALL_TMEM_FILTER, (u64)pool, (u64)&info, 0, 0, 0);
	if (result == -SLUICE_ENOMEM)
		return;
	if (result != 0)
		panic("the miss filter of pool %d is offered, but refused: %lld", pool,
			(long long)result);
	paging_map_read_only(
		FILTER_BASE, info.window, MIN(info.window_bytes, FILTER_BYTES_MAX), memory_frame());
	object_sum = tmem_filter_object(info.key, words);
	window = (const void *)FILTER_BASE;
}

bool miss_filter_lacks(u32 page)
{
	return window && tmem_filter_surely_lacks(window, object_sum, page);
}
