/*
 * The rules of balloon/balloon.h, written down a second time and without the engine's help: bounds,
 * steps, sums, and that the moves lead from the old targets to the new ones.
 */
#include "tests/unit/balloon_check.h"

#define PAGES_MAX (1UL << 31)

static const char *check_guest(const struct balloon_parameters *p,
	const struct balloon_sample *sample, const struct balloon_target *target)
{
	u64 max = MIN(sample->max, PAGES_MAX), min = MIN(sample->min, max);
	u64 actual = MIN(sample->actual, PAGES_MAX), from = MIN(MAX(actual, min), max);

	if (!sample->responsive)
		return target->ram == actual ? NULL : "a silent guest was moved";
	if (target->ram < min || target->ram > max)
		return "target outside min..max";
	if (target->ram < from &&
		(from - target->ram) * 1000 > MAX(from * p->down_permille, 1000UL))
		return "step down too large";
	if (target->ram > from && (target->ram - from) * 1000 > MAX(max * p->up_permille, 1000UL))
		return "step up too large";
	return NULL;
}

const char *balloon_check(const struct balloon *balloon, const struct balloon_sample *samples,
	unsigned count, const struct balloon_plan *plan, const struct balloon_target *before,
	const bool *known)
{
	const struct balloon_parameters *p = &balloon->parameters;
	u64 floors = 0, sizes = 0, targets = 0, shares = 0;
	s64 moved[BALLOON_GUESTS_MAX] = {0};

	if (plan->count != MIN(count, BALLOON_GUESTS_MAX) || plan->move_count > BALLOON_MOVES_MAX)
		return "counts";
	for (unsigned i = 0; i < plan->count; i++) {
		const char *wrong = check_guest(p, &samples[i], &plan->target[i]);
		u64 actual = MIN(samples[i].actual, PAGES_MAX);

		if (wrong)
			return wrong;
		floors += samples[i].responsive
				  ? MAX(actual, MIN(samples[i].min, MIN(samples[i].max, PAGES_MAX)))
				  : actual;
		sizes += MAX(actual, plan->target[i].ram);
		targets += plan->target[i].ram;
		shares += plan->target[i].share;
	}
	/* What guests have and are entitled to may exceed memory by itself; a plan must not add to
	 * it. */
	if (sizes > MAX(floors, p->memory - p->pool_min))
		return "RAM promised that is not there";
	if (shares > plan->pool || plan->pool > p->memory - MIN(p->memory, targets))
		return "shares exceed the pool";
	for (unsigned i = 0; i < plan->move_count; i++) {
		const struct balloon_move *move = &plan->moves[i];

		if (move->reason >= BALLOON_REASONS || move->pages == 0)
			return "a move without reason or pages";
		if (move->from == move->to)
			continue;
		if (move->from != BALLOON_POOL)
			moved[move->from] -= (s64)move->pages;
		if (move->to != BALLOON_POOL)
			moved[move->to] += (s64)move->pages;
	}
	for (unsigned i = 0; i < plan->count; i++) {
		s64 delta = (s64)(plan->target[i].ram + plan->target[i].share) -
			    (s64)(before[i].ram + before[i].share);

		if (known[i] && moved[i] != delta)
			return "moves do not add up";
	}
	return NULL;
}
