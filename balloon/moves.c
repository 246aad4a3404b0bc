/*
 * The record of a plan: who gave, who got, how much, why. A guest holds its RAM and its share; what
 * one guest's holding loses and another's gains is matched, largest first, and what remains comes
 * from or goes to the part of the pool that is nobody's. What a guest moves between its own RAM and
 * its share is a line of its own.
 */
#include "balloon/policy.h"

static const char *const texts[BALLOON_REASONS] = {
	[BALLOON_NO_REASON] = "no reason",
	[BALLOON_REFAULTS] = "saves more reads",
	[BALLOON_GOAL] = "service goal missed",
	[BALLOON_PROBE] = "probing",
	[BALLOON_PROBE_END] = "its pages are asked for",
	[BALLOON_EVIDENCE] = "others need it more",
	[BALLOON_COMMITTED] = "committed memory",
	[BALLOON_ENTITLED] = "its due after tax",
	[BALLOON_LIMITS] = "limits",
};

const char *balloon_reason_text(enum balloon_reason reason)
{
	return reason < BALLOON_REASONS ? texts[reason] : texts[BALLOON_NO_REASON];
}

/* Reads a tick and MiB in 256ths to reads a second and MiB in hundredths. */
static u32 per_second(const struct balloon *engine, u32 utility)
{
	u64 rate = (u64)utility * 100 * 1000 / engine->parameters.tick_ms / 256;

	return (u32)MIN(rate, 0xffffffffUL);
}

static unsigned largest(const s64 *delta, unsigned count, s64 sign)
{
	unsigned best = BALLOON_POOL;

	for (unsigned i = 0; i < count; i++)
		if (delta[i] * sign > 0 &&
			(best == BALLOON_POOL || delta[i] * sign > delta[best] * sign))
			best = i;
	return best;
}

static void note(struct balloon_plan *plan, struct balloon_move move)
{
	if (plan->move_count < BALLOON_MOVES_MAX)
		plan->moves[plan->move_count++] = move;
}

static void between_guests(const struct balloon *engine, const struct balloon_wish *wishes,
	struct balloon_plan *plan, s64 *delta)
{
	for (unsigned i = 0; i < plan->count; i++) {
		unsigned giver = largest(delta, plan->count, -1);
		unsigned taker = largest(delta, plan->count, 1);
		s64 pages;

		if (giver == BALLOON_POOL && taker == BALLOON_POOL)
			return;
		if (giver == BALLOON_POOL)
			pages = delta[taker];
		else if (taker == BALLOON_POOL)
			pages = -delta[giver];
		else
			pages = MIN(delta[taker], -delta[giver]);
		note(plan, (struct balloon_move){
				   .from = (u8)giver,
				   .to = (u8)taker,
				   .pages = (u64)pages,
				   .reason = wishes[taker == BALLOON_POOL ? giver : taker].reason,
				   .gain = taker == BALLOON_POOL
						   ? 0
						   : per_second(engine, wishes[taker].utility),
				   .loss = giver == BALLOON_POOL
						   ? 0
						   : per_second(engine, wishes[giver].utility),
			   });
		if (giver != BALLOON_POOL)
			delta[giver] += pages;
		if (taker != BALLOON_POOL)
			delta[taker] -= pages;
	}
}

void balloon_moves(
	const struct balloon *engine, const struct balloon_wish *wishes, struct balloon_plan *plan)
{
	s64 delta[BALLOON_GUESTS_MAX];

	for (unsigned i = 0; i < plan->count; i++) {
		const struct balloon_target *new = &plan->target[i],
					    *old = &engine->guest[i].target;
		s64 ram = (s64) new->ram - (s64)old->ram,
		    share = (s64) new->share - (s64)old->share;

		/* Before its first plan a guest had no share to speak of. */
		delta[i] = engine->guest[i].known ? ram + share : ram;
		if (ram != 0)
			note(plan, (struct balloon_move){
					   .from = (u8)i,
					   .to = (u8)i,
					   .to_ram = ram > 0,
					   .pages = (u64)(ram > 0 ? ram : -ram),
					   .reason = wishes[i].own_reason,
				   });
	}
	between_guests(engine, wishes, plan, delta);
}
