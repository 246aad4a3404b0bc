/*
 * The policy `shares`: memory in proportion to priority, with a tax on what lies idle, after
 * "Memory Resource Management in VMware ESX Server" (Waldspurger, OSDI 2002, section 5). A page
 * that is idle costs its owner k = 1 / (1 - tax) times as much as one in use, so at equal price per
 * share a guest with the active part f is due priority / (f + k (1 - f)), within its bounds.
 */
#include "balloon/policy.h"

#define ONE 1024U /* of fixed-point parts */

/* The part of its RAM that a guest uses, 1024ths: by accessed bits where there are any (pages seen
 * within eight ticks), else by its own word; all of it if there is none. */
static u64 active_part(const struct balloon_sample *sample)
{
	u64 idle = 0;

	if (sample->actual == 0)
		return ONE;
	if (sample->idle_known)
		for (unsigned age = 3; age < BALLOON_AGES; age++)
			idle += sample->idle[age];
	else if (sample->available != BALLOON_UNKNOWN)
		idle = sample->available;
	return ONE - balloon_part(idle, ONE, sample->actual);
}

/* Divides @memory by @due within bounds: whoever meets a bound is fixed there, and the rest is
 * divided again; each round fixes one at least. */
static void divide(const struct balloon *engine, unsigned count, const u64 *due,
	struct balloon_wish *wishes, u64 memory)
{
	bool fixed[BALLOON_GUESTS_MAX] = {false};

	for (unsigned round = 0; round < count; round++) {
		u64 dues = 0, left = memory, excess = 0, lack = 0;
		bool again = false;

		for (unsigned i = 0; i < count; i++) {
			if (fixed[i])
				left -= MIN(left, wishes[i].target.ram);
			else
				dues += due[i];
		}
		/* First those bounds whose violation weighs more, so that no one is fixed wrongly.
		 */
		for (unsigned i = 0; i < count; i++) {
			const struct balloon_sample *sample = &engine->sample[i];
			u64 part = balloon_part(left, due[i], dues);

			if (fixed[i])
				continue;
			wishes[i].target.ram = part;
			excess += part > sample->max ? part - sample->max : 0;
			lack += part < sample->min ? sample->min - part : 0;
		}
		for (unsigned i = 0; i < count; i++) {
			const struct balloon_sample *sample = &engine->sample[i];
			u64 *ram = &wishes[i].target.ram;

			if (fixed[i])
				continue;
			if (lack >= excess && *ram < sample->min)
				*ram = sample->min;
			else if (excess >= lack && *ram > sample->max)
				*ram = sample->max;
			else
				continue;
			fixed[i] = again = true;
		}
		if (!again)
			return;
	}
}

static void plan(struct balloon *engine, unsigned count, struct balloon_wish *wishes)
{
	const struct balloon_parameters *p = &engine->parameters;
	u64 tax = ONE * 1000 / (1000 - p->tax_permille), due[BALLOON_GUESTS_MAX];

	for (unsigned i = 0; i < count; i++) {
		const struct balloon_sample *sample = &engine->sample[i];
		u64 active = active_part(sample);
		u64 price = active + tax * (ONE - active) / ONE;

		due[i] = (u64)sample->priority * ONE * 16 / price;
		wishes[i] = (struct balloon_wish){
			.reason = BALLOON_ENTITLED, .own_reason = BALLOON_ENTITLED};
	}
	divide(engine, count, due, wishes, p->memory - p->pool_min);
	balloon_share_evenly(engine, count, wishes);
}

const struct balloon_policy balloon_shares = {.name = "shares", .plan = plan};
