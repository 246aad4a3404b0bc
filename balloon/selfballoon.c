/*
 * The policy `selfballoon`: each guest goes for the memory that it says it has committed, as Linux
 * guests on Xen once did by themselves: at once when it grows, an eighth of the way a tick when it
 * shrinks. It believes the guest, and it knows of no other guest: that is the point of comparing
 * it.
 */
#include "balloon/policy.h"

/* What is not free and not a cache. A guest without statistics counts as one that uses all. */
static u64 committed(const struct balloon_sample *sample)
{
	u64 unused = 0;

	if (sample->free != BALLOON_UNKNOWN)
		unused += sample->free;
	if (sample->caches != BALLOON_UNKNOWN)
		unused += sample->caches;
	return sample->actual - MIN(unused, sample->actual);
}

static void plan(struct balloon *engine, unsigned count, struct balloon_wish *wishes)
{
	const struct balloon_parameters *p = &engine->parameters;

	for (unsigned i = 0; i < count; i++) {
		const struct balloon_sample *sample = &engine->sample[i];
		u64 now = sample->actual, goal = committed(sample);

		/* Pages in swap are committed too; those that came back in this tick are what
		 * shows. */
		if (sample->swap_in != BALLOON_UNKNOWN)
			goal += sample->swap_in;
		goal = MIN(MAX(goal, sample->min), sample->max);
		if (goal > now)
			now += (goal - now + p->up_hysteresis - 1) / p->up_hysteresis;
		else
			now -= (now - goal) / p->down_hysteresis;
		wishes[i] = (struct balloon_wish){
			.target.ram = now,
			.reason = BALLOON_COMMITTED,
			.own_reason = BALLOON_COMMITTED,
		};
	}
	balloon_share_evenly(engine, count, wishes);
}

const struct balloon_policy balloon_selfballoon = {.name = "selfballoon", .plan = plan};
