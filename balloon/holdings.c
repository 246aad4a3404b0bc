/*
 * Who holds how much, RAM and pool share together, under the policy `refault` (balloon/holdings.h).
 */
#include "balloon/holdings.h"

#include "balloon/curve.h"
#include "balloon/policy.h"

#define ROUNDS_PER_GUEST 8U
#define ROUNDS_MIN       64U
#define CLIFF_PART       8U  /* of its gain, half of a stretch with a cliff gains less */
#define BETTER_PART      16U /* of a cliff's gain, so much a plan must gain that has it first */
/* Within which a plan must have saved as many reads as pages move. */
#define PAY_TICKS 24U
#define PAY_MS    6400U
/* Over which what plans would have saved is added up while none was carried out. */
#define OWED_TICKS 192U
/* What a guest used lately is known only so well: to a part of it. */
#define SPARE_PART 4U

/* Gives @room to the guests, the steepest stretch first. A stretch may count on @later, pages that
 * will be there in some ticks: it is begun with what there is, and @begun says so. Returns the room
 * that nobody needs. */
static u64 divide(struct balloon *engine, unsigned count, u64 room, u64 later, bool *begun)
{
	unsigned rounds = MAX(ROUNDS_MIN, ROUNDS_PER_GUEST * count);

	for (unsigned i = 0; i < count; i++) {
		struct balloon_guest *guest = &engine->guest[i];

		guest->next = curve_steepest(guest, guest->size, room + later, &guest->terms);
	}
	while (rounds-- > 0 && room > 0) {
		struct balloon_guest *best = NULL;
		u64 pages;

		for (unsigned i = 0; i < count; i++) {
			struct balloon_guest *guest = &engine->guest[i];

			if (guest->next.pages > room + later)
				guest->next = curve_steepest(
					guest, guest->size, room + later, &guest->terms);
			if (guest->next.gain &&
				(!best || segment_steeper(&guest->next, &best->next)))
				best = guest;
		}
		if (!best)
			break;
		pages = MIN(best->next.pages, room);
		*begun |= pages < best->next.pages;
		best->size += pages;
		room -= pages;
		later -= best->next.pages - pages;
		best->next = curve_steepest(best, best->size, room + later, &best->terms);
	}
	return room;
}

/* What the guests' sizes are worth, what is held counted more. */
static u64 worth_of_all(const struct balloon *engine, unsigned count)
{
	u64 sum = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct balloon_guest *guest = &engine->guest[i];

		sum += curve_worth(guest, guest->size, &guest->terms);
	}
	return sum;
}

/* The steepest stretch beyond @guest's size that @room has no place for, if it is one with a cliff:
 * half of it is worth little. @all: pages that all guests are divided of. */
static struct balloon_segment cliff_beyond(const struct balloon_guest *guest, u64 room, u64 all)
{
	static const struct balloon_segment none;
	u64 from = guest->size, longest = all - MIN(all, from - guest->least);
	struct balloon_segment cliff = curve_steepest(guest, from, longest, &guest->terms);
	u64 half = curve_at(guest, from + cliff.pages / 2) - curve_at(guest, from);

	return cliff.pages > room && half < cliff.gain / CLIFF_PART ? cliff : none;
}

/*
 * A loop that fits or does not may be too long for the room that steeper stretches leave it, and
 * yet be worth more than all of them together that it would displace, since it is steeper than
 * most: a bounded room is not always filled best by steepness alone (the knapsack problem). So the
 * steepest of those that found no room is given its pages first for once, and what is worth more
 * stays.
 * @room: pages that were divided; @left: of these, what nobody needed. Returns what nobody needs
 * then.
 */
static u64 divide_otherwise(struct balloon *engine, unsigned count, u64 room, u64 left)
{
	struct balloon_guest *who = NULL;
	struct balloon_segment best = {0};
	u64 worth, other;
	bool begun = false;

	for (unsigned i = 0; i < count; i++) {
		struct balloon_guest *guest = &engine->guest[i];
		struct balloon_segment cliff = cliff_beyond(guest, left, room);

		if (segment_steeper(&cliff, &best)) {
			best = cliff;
			who = guest;
		}
	}
	if (!who)
		return left;
	worth = worth_of_all(engine, count);
	for (unsigned i = 0; i < count; i++) {
		struct balloon_guest *guest = &engine->guest[i];

		guest->size_first = guest->size;
		if (guest != who)
			guest->size = guest->least;
	}
	who->size += best.pages;
	other = divide(engine, count, room - (who->size - who->least), 0, &begun);
	if (worth_of_all(engine, count) > worth + best.gain / BETTER_PART)
		return other;
	for (unsigned i = 0; i < count; i++)
		engine->guest[i].size = engine->guest[i].size_first;
	return left;
}

/*
 * Curves are estimates, and where they are nearly equal each tick's noise would move memory to and
 * fro. So the plan as a whole must save, soon or within the takers' spells if these are shorter,
 * more reads than pages move, but for those that whoever gives them did not use lately: these need
 * not be read back. Or so much must be owed: what plans, tick after tick, would have saved had they
 * been carried out, since a need that stays is worth more than one that may pass. Else everyone
 * keeps what it holds. Returns the room then left.
 */
static u64 stay_if_better(struct balloon *engine, unsigned count, u64 room)
{
	u64 with = 0, without = 0, price = 0, left = engine->parameters.memory, taken = 0, idle = 0;
	u32 ticks = MAX(PAY_TICKS, PAY_MS / engine->parameters.tick_ms);

	for (unsigned i = 0; i < count; i++) {
		const struct balloon_guest *guest = &engine->guest[i];
		u64 hold = guest->terms.hold, per_page = MAX(guest->terms.price, 65536 / ticks);
		u64 more = guest->size - MIN(guest->size, hold);
		u64 used = MAX(guest->size, guest->footprint + guest->footprint / SPARE_PART);

		/* What it holds is not to be had: RAM that goes, or a minimum that was raised. Or
		 * nobody knows what its RAM is worth, so that little can move at a time, and each
		 * time too little to pay. */
		if (hold > left || hold < guest->least || !engine->sample[i].idle_known)
			return room;
		left -= hold;
		with += curve_at(guest, guest->size);
		without += curve_at(guest, hold);
		price += more * per_page >> 8;
		taken += more;
		idle += hold - MIN(hold, used);
	}
	price -= balloon_part(price, MIN(idle, taken), taken);
	engine->owed -= engine->owed / OWED_TICKS;
	engine->owed += with - MIN(with, without);
	if (with >= without + price || (with > without && engine->owed >= price * ticks)) {
		engine->owed = 0;
		return room;
	}
	for (unsigned i = 0; i < count; i++)
		engine->guest[i].size = engine->guest[i].terms.hold;
	return left;
}

u64 holdings_plan(struct balloon *engine, unsigned count, u64 room, u64 later)
{
	bool begun = false;
	u64 left = divide(engine, count, room, later, &begun);

	if (begun)
		return left;
	return stay_if_better(engine, count, divide_otherwise(engine, count, room, left));
}
