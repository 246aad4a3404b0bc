/*
 * The policy `refault`: memory goes to where a page avoids the most disk reads a tick, priorities
 * counted (docs/balloon.md). Two decisions a tick. How much each guest holds, RAM and pool share
 * together: the steepest stretches of all curves first, what a guest holds already counting more.
 * And how much of its holding is RAM: a part of the pool is kept as each guest's window, where what
 * it would lose by having less can be seen, and the window widens where others need memory more.
 */
#include "balloon/policy.h"

#include "balloon/curve.h"
#include "balloon/holdings.h"
#include "balloon/spells.h"
#include "balloon/trust.h"

#define WINDOW      16U /* of a holding, a 16th is kept in the pool */
#define TRIAL_PART  2U  /* of its RAM, so much at most is on trial at a time */
#define TRIAL_TICKS 8U  /* mean time that memory taken on trial stays the guest's own */
#define FREE_PART   32U /* of its RAM, so much is left free to a guest */
#define AGE_STALE   4U  /* the class of RAM that was not used for 16 ticks */
#define GROW_PART   20U /* of its maximum, RAM that a guest takes out of its share a second */
#define GROW_HITS   2U  /* so many hits in a share that is full, for each page */
#define GOAL_BOOST  8U  /* utility of a guest that misses its service goal */

/* Holding before this tick. */
static u64 held(const struct balloon_guest *guest, const struct balloon_sample *sample, u64 even)
{
	if (!guest->known)
		return sample->actual + even;
	return MAX(guest->base, sample->actual);
}

static bool misses_goal(const struct balloon *engine, unsigned index)
{
	const struct balloon_guest *guest = &engine->guest[index];
	u64 goal = engine->sample[index].max_refaults_per_second;

	return goal != 0 && guest->refaults_rate * 1000 / engine->parameters.tick_ms > goal * 256;
}

static void boost(struct balloon_guest *guest)
{
	for (unsigned i = 0; i <= BALLOON_BUCKETS; i++)
		guest->curve[i] = (u32)MIN((u64)guest->curve[i] * GOAL_BOOST, 0xffffffffUL);
}

/* How often RAM is used again, by how long it lay idle: what a guest would lose with it; and how
 * often its oldest eighth is, which tells of the pages that were just evicted. */
static void note_use(struct balloon_guest *guest, const struct balloon_sample *sample)
{
	u64 eighth = MAX(sample->actual / 8, 1UL), left = eighth, sum = 0;

	for (unsigned age = 0; age < BALLOON_AGES; age++) {
		u64 all = sample->idle[age] + sample->touched[age];
		u64 now = balloon_part(BALLOON_USE_ONE, sample->touched[age], all);

		guest->use[age] = (u32)((guest->use[age] + 3 * now) / 4);
	}
	for (unsigned age = BALLOON_AGES; age-- > 0;) {
		u64 part = MIN(sample->idle[age], left);

		sum += part * guest->use[age];
		left -= part;
	}
	sum += left * guest->use[0];
	guest->edge = sample->idle_known ? (u32)(sum / eighth) : 0;
}

/* Pages of RAM, from the oldest on, that are worth less than @need, @hold permille apart. */
static u64 cold_pages(const struct balloon_guest *guest, const struct balloon_sample *sample,
	const struct balloon_segment *need, u32 hold, unsigned youngest)
{
	u64 cold = 0;

	for (unsigned age = BALLOON_AGES; age-- > youngest; cold += sample->idle[age]) {
		u64 use = (u64)guest->use[age] * sample->priority / BALLOON_PRIORITY *
			  (1000 + hold) / 1000;

		/* use / BALLOON_USE_ONE < gain / 256 / pages */
		if (use * need->pages >= need->gain * (BALLOON_USE_ONE / 256))
			break;
	}
	return cold;
}

/* What the guest itself says it does not use, but for a small part that it works with. */
static u64 spare_pages(const struct balloon_sample *sample)
{
	u64 kept = sample->actual / FREE_PART;

	return sample->free == BALLOON_UNKNOWN ? 0 : sample->free - MIN(sample->free, kept);
}

/*
 * Pages of RAM that guest @index, which holds @hold, may take out of its share in a tick with @hits
 * and @gets. RAM that grows is empty at first, and for each page of it a full share drops its
 * oldest, which a guest that goes round in a loop wants next. The share serves it meanwhile, for a
 * copy a hit; and what is still share when a spell ends is at others' disposal at once. RAM that it
 * has and never touched it can use first: nobody evicts a page for want of memory that he has, but
 * for a small part that it may leave free.
 */
static u64 growth(const struct balloon *engine, unsigned index, u64 hold, u64 hits, u64 gets)
{
	const struct balloon_sample *sample = &engine->sample[index];
	u32 ms = MIN(engine->parameters.tick_ms, 1000U);
	u64 free = sample->actual / FREE_PART,
	    untouched = sample->untouched - MIN(sample->untouched, free);

	gets = MIN(gets, hits / GROW_HITS + (hold - MIN(hold, sample->actual + sample->pool)));
	gets = MIN(gets, MAX(sample->max * ms / (GROW_PART * 1000), 1UL));
	return gets - MIN(gets, untouched);
}

/* The RAM that guest @index should have next, with @need the most urgent wish of the others. What
 * can be taken from it in later ticks is added to @later. */
static u64 plan_ram(struct balloon *engine, unsigned index, u64 hold,
	const struct balloon_segment *need, u64 *later, enum balloon_reason *why)
{
	const struct balloon_parameters *p = &engine->parameters;
	const struct balloon_sample *sample = &engine->sample[index];
	struct balloon_guest *guest = &engine->guest[index];
	u64 ram = sample->actual, most = p->poolless ? hold : hold - hold / WINDOW,
	    width = MAX(ram / 8, guest->step), gets = 0, hits = 0;
	bool dear;
	struct balloon_segment edge = {curve_at(guest, ram + width) - curve_at(guest, ram), width};

	for (unsigned kind = 0; kind < BALLOON_CLASSES; kind++) {
		gets += sample->tmem[kind].gets;
		hits += sample->tmem[kind].hits;
	}
	gets = hits + MIN(gets - hits, sample->disk_reads);
	edge.gain = edge.gain * (1000 + p->hold_permille) / 1000;
	guest->trial -= guest->trial / TRIAL_TICKS + (guest->trial != 0);
	/* Its refaults say that RAM is worth more to it than to others. Of a guest most of whose
	 * gets nothing stood behind, accessed bits are believed instead. */
	dear = !segment_steeper(need, &edge);
	if (!dear || (sample->idle_known && 2 * guest->backed_lately < guest->gets_lately &&
			     cold_pages(guest, sample, need, p->hold_permille, AGE_STALE))) {
		u64 most_on_trial = ram / TRIAL_PART, most_down = ram * p->down_permille / 1000;
		u64 spare = spare_pages(sample), step = MIN(spare, most_down);

		*why = BALLOON_EVIDENCE;
		if (sample->idle_known) {
			u64 cold = MAX(spare, cold_pages(guest, sample, need, p->hold_permille,
						      dear ? AGE_STALE : 0));

			step = MIN(cold, most_down);
			*later += MIN(cold, ram - MIN(ram, sample->min)) -
				  MIN(step, ram - MIN(ram, sample->min));
		} else if (step < most_down) {
			u64 trial = MIN(
				most_down - step, most_on_trial - MIN(guest->trial, most_on_trial));

			step += trial;
			if (!p->poolless)
				guest->trial += trial;
		}
		return ram - step;
	}
	if (ram > most) {
		*why = BALLOON_PROBE;
		return MAX(most, ram - ram * p->probe_permille / 1000);
	}
	*why = BALLOON_PROBE_END;
	edge.gain = edge.gain * 1000 / (1000 + p->hold_permille) * 1000 / (1000 + p->hold_permille);
	if (segment_steeper(need, &edge))
		return ram;
	return MIN(most, ram + growth(engine, index, hold, hits, gets));
}

/* The most urgent wish of the guests other than @index that could be granted. */
static const struct balloon_segment *worst_need(
	const struct balloon *engine, unsigned count, unsigned index)
{
	static const struct balloon_segment none;
	const struct balloon_segment *worst = &none;

	for (unsigned other = 0; other < count; other++)
		if (other != index && engine->sample[other].responsive &&
			segment_steeper(&engine->guest[other].need, worst))
			worst = &engine->guest[other].need;
	return worst;
}

/* Every guest's curve, what it holds and what it would like most. */
static void look(struct balloon *engine, unsigned count)
{
	const struct balloon_parameters *p = &engine->parameters;
	u64 even = count ? balloon_pool_now(engine, count) / count : 0;

	for (unsigned i = 0; i < count; i++) {
		struct balloon_guest *guest = &engine->guest[i];
		u64 hold = held(guest, &engine->sample[i], even);

		note_use(guest, &engine->sample[i]);
		trust_note(guest, &engine->sample[i]);
		curve_update(guest, &engine->sample[i], hold);
		spell_note(guest, &engine->sample[i], p->tick_ms);
		if (misses_goal(engine, i))
			boost(guest);
		guest->terms = (struct balloon_terms){hold, p->hold_permille, spell_price(guest)};
		guest->need = curve_steepest(guest, hold, p->memory, &guest->terms);
	}
}

static void plan(struct balloon *engine, unsigned count, struct balloon_wish *wishes)
{
	u64 room = engine->parameters.memory, later = 0;

	look(engine, count);
	for (unsigned i = 0; i < count; i++) {
		const struct balloon_sample *sample = &engine->sample[i];
		struct balloon_guest *guest = &engine->guest[i];
		u64 *ram = &wishes[i].target.ram;

		*ram = plan_ram(engine, i, guest->terms.hold, worst_need(engine, count, i), &later,
			&wishes[i].own_reason);
		*ram = MIN(MAX(*ram, sample->min), sample->max);
		if (!sample->responsive)
			*ram = sample->actual;
		wishes[i].reason = misses_goal(engine, i) ? BALLOON_GOAL : BALLOON_REFAULTS;
		/* What is RAM next, or on trial, cannot be anyone else's. */
		guest->least = MIN(
			MAX(*ram + guest->trial, sample->min), engine->parameters.memory);
		guest->size = guest->least;
		room -= MIN(room, guest->size);
	}
	room = holdings_plan(engine, count, room, later);
	for (unsigned i = 0; i < count; i++) {
		struct balloon_guest *guest = &engine->guest[i];
		/* What nobody needs stays where it is. */
		u64 back = guest->terms.hold > guest->size
				   ? MIN(guest->terms.hold - guest->size, room)
				   : 0;
		u64 per_mib = guest->need.pages ? guest->need.gain * 256 / guest->need.pages : 0;

		guest->size += back;
		room -= back;
		guest->base = guest->size;
		wishes[i].utility = (u32)MIN(per_mib, 0xffffffffUL);
		if (engine->parameters.poolless && engine->sample[i].responsive)
			wishes[i].target.ram = MIN(guest->size, engine->sample[i].max);
		wishes[i].target.share = guest->size - MIN(guest->size, wishes[i].target.ram);
	}
}

const struct balloon_policy balloon_refault = {.name = "refault", .plan = plan};
