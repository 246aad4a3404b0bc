/*
 * See flip.h. All frames of the pool are declared, a range of RAM each: what else stands there is
 * never put, so that declaring it costs no more than small mappings.
 */
#include "guest-shim/flip.h"

#include <abi/cpuid.h>

#include "guest-shim/frames.h"
#include "guest-shim/hypercall.h"
#include "guest-shim/panic.h"

static bool on;

void flip_init(const struct start_info *info)
{
	if (!(hypercall_features() & SLUICE_FEATURE_TMEM_FLIP))
		return;
	for (unsigned i = 0; i < info->ranges; i++) {
		const struct memory_range *range = &info->ram[i];
		u32 first = MAX(range->first, frames_first());
		s64 result;

		if (first >= range->end)
			continue;
		result = hypercall(HYPERCALL_FLIP_DECLARE, first, range->end - first, 0, 0, 0);
		if (result)
			panic("frames %x to %x cannot be declared for flips: %lld", (unsigned)first,
				(unsigned)range->end, (long long)result);
		on = true;
	}
}

bool flip_is_on(void)
{
	return on;
}
