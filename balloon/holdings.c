/*
 * Who holds how much, RAM and pool share together, under the policy `refault` (balloon/holdings.h).
 */
#include "balloon/holdings.h"

#include "balloon/curve.h"
#include "balloon/policy.h"

#define ROUNDS_PER_GUEST 8U
#define ROUNDS_MIN       64U
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

	return begun ? left : stay_if_better(engine, count, left);
}
