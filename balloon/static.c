/* The policy `static`: nobody's RAM moves, and the pool is divided by priority. The baseline. */
#include "balloon/policy.h"

static void plan(struct balloon *engine, unsigned count, struct balloon_wish *wishes)
{
	for (unsigned i = 0; i < count; i++)
		wishes[i] = (struct balloon_wish){
			.target.ram = engine->guest[i].target.ram,
			.reason = BALLOON_LIMITS,
			.own_reason = BALLOON_LIMITS,
		};
	balloon_share_evenly(engine, count, wishes);
}

const struct balloon_policy balloon_static = {.name = "static", .plan = plan};
