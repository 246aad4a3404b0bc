/*
 * How many messages a guest can cause (kernel/core/log.h). Without a lock: two CPUs that count at
 * once may let a line more through.
 */
#include "arch/x86/arch.h"
#include "kernel/core/log.h"

#define A_SECOND 10U
#define IN_ALL   200U

bool rate_limit_ok(struct rate_limit *limit)
{
	u64 now = arch_tsc();

	if (now - limit->window_start >= arch_tsc_hz()) {
		limit->window_start = now;
		limit->in_window = 0;
	}
	if (limit->in_window >= A_SECOND || limit->total >= IN_ALL) {
		limit->suppressed++;
		return false;
	}
	limit->in_window++;
	limit->total++;
	return true;
}
