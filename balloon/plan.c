/*
 * One tick: checks the samples, lets the policy wish, and makes the wishes safe. Nothing that a
 * policy or a guest says gets past the rules here: bounds, bounded steps, a sum that fits, and RAM
 * that is given only when it is there.
 */
#include "balloon/policy.h"

#include <string.h>

#include <abi/errno.h>

#define PAGES_MAX (1UL << 31) /* 8 TiB: products of two sizes fit in 64 bits */
#define COUNT_MAX (1UL << 24) /* of events in a tick */

static const struct balloon_policy *const policies[] = {
	&balloon_refault, &balloon_static, &balloon_selfballoon, &balloon_shares};

const char *balloon_policy_name(unsigned index)
{
	return index < ARRAY_SIZE(policies) ? policies[index]->name : NULL;
}

int balloon_policy_set(struct balloon *balloon, const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(policies); i++)
		if (strcmp(policies[i]->name, name) == 0) {
			balloon->policy = policies[i];
			return 0;
		}
	return -SLUICE_EINVAL;
}

__init void balloon_defaults(struct balloon_parameters *parameters, u64 memory, u32 tick_ms)
{
	*parameters = (struct balloon_parameters){
		.memory = memory,
		.pool_min = memory / 32,
		.tick_ms = tick_ms,
		.down_permille = 100,
		.probe_permille = 10,
		.up_permille = 250,
		.hold_permille = 150,
		.tax_permille = 750,
		.up_hysteresis = 1,
		.down_hysteresis = 8,
	};
}

__init void balloon_init(struct balloon *balloon, const struct balloon_parameters *parameters)
{
	struct balloon_parameters *p = &balloon->parameters;

	memset(balloon, 0, sizeof(*balloon));
	*p = *parameters;
	balloon_set_memory(balloon, p->memory, p->pool_min);
	p->tick_ms = MIN(MAX(p->tick_ms, 1U), 3600000U);
	p->down_permille = MIN(p->down_permille, 1000U);
	p->probe_permille = MIN(p->probe_permille, p->down_permille);
	p->up_permille = MIN(p->up_permille, 1000U);
	p->hold_permille = MIN(p->hold_permille, 10000U);
	p->tax_permille = MIN(p->tax_permille, 999U);
	p->up_hysteresis = MIN(MAX(p->up_hysteresis, 1U), 1000U);
	p->down_hysteresis = MIN(MAX(p->down_hysteresis, 1U), 1000U);
	balloon->policy = policies[0];
}

void balloon_forget(struct balloon *balloon, unsigned index)
{
	if (index < BALLOON_GUESTS_MAX)
		memset(&balloon->guest[index], 0, sizeof(balloon->guest[index]));
}

void balloon_remove(struct balloon *balloon, unsigned index, unsigned count)
{
	if (index >= count || count > BALLOON_GUESTS_MAX)
		return;
	balloon->guest[index] = balloon->guest[count - 1];
	balloon_forget(balloon, count - 1);
}

void balloon_set_memory(struct balloon *balloon, u64 memory, u64 pool_min)
{
	balloon->parameters.memory = MIN(memory, PAGES_MAX);
	balloon->parameters.pool_min = MIN(pool_min, balloon->parameters.memory);
}

u64 balloon_part(u64 amount, u64 part, u64 whole)
{
	return whole ? MIN(amount, 0xffffffffUL) * MIN(part, 0xffffffffUL) / whole : 0;
}

u64 balloon_pool_now(const struct balloon *engine, unsigned count)
{
	u64 left = engine->parameters.memory;

	for (unsigned i = 0; i < count; i++)
		left -= MIN(left, engine->sample[i].actual);
	return left;
}

void balloon_share_evenly(const struct balloon *engine, unsigned count, struct balloon_wish *wishes)
{
	u64 left = engine->parameters.memory, priorities = 0;

	for (unsigned i = 0; i < count; i++) {
		left -= MIN(left, wishes[i].target.ram);
		priorities += engine->sample[i].priority;
	}
	for (unsigned i = 0; i < count; i++)
		wishes[i].target.share = balloon_part(left, engine->sample[i].priority, priorities);
}

static u64 known_or(u64 value, u64 most)
{
	return value == BALLOON_UNKNOWN ? value : MIN(value, most);
}

/* A guest's numbers are taken for what they could be: sizes within its RAM, counts that a tick can
 * hold, no more hits than gets. */
static void sample_check(struct balloon_sample *sample)
{
	u64 idle = 0;

	sample->max = MIN(sample->max, PAGES_MAX);
	sample->min = MIN(sample->min, sample->max);
	sample->actual = MIN(sample->actual, PAGES_MAX);
	sample->untouched = MIN(sample->untouched, sample->actual);
	sample->pool = MIN(sample->pool, PAGES_MAX);
	for (unsigned kind = 0; kind < BALLOON_CLASSES; kind++) {
		sample->tmem[kind].puts = MIN(sample->tmem[kind].puts, COUNT_MAX);
		sample->tmem[kind].gets = MIN(sample->tmem[kind].gets, COUNT_MAX);
		sample->tmem[kind].hits = MIN(sample->tmem[kind].hits, sample->tmem[kind].gets);
	}
	sample->disk_reads = known_or(sample->disk_reads, COUNT_MAX);
	sample->refaults = MIN(sample->refaults, MIN(sample->disk_reads, COUNT_MAX));
	sample->free = known_or(sample->free, sample->actual);
	sample->available = known_or(sample->available, sample->actual);
	sample->caches = known_or(sample->caches, sample->actual);
	sample->major_faults = known_or(sample->major_faults, COUNT_MAX);
	sample->swap_in = known_or(sample->swap_in, COUNT_MAX);
	sample->swap_out = known_or(sample->swap_out, COUNT_MAX);
	for (unsigned age = 0; age < BALLOON_AGES; age++) {
		sample->idle[age] = MIN(sample->idle[age], sample->actual - idle);
		idle += sample->idle[age];
		sample->touched[age] = MIN(sample->touched[age], sample->actual);
	}
	if (sample->priority == 0)
		sample->priority = BALLOON_PRIORITY;
	sample->priority = MIN(sample->priority, 10000U);
	/* A smaller period than 1/100 s needs no goal. */
	sample->max_refaults_per_second = MIN(sample->max_refaults_per_second, 10000000U);
}

static u64 permille(u64 amount, u32 parts)
{
	return amount / 1000 * parts + amount % 1000 * parts / 1000;
}

/* One step at most from where the guest is, within its bounds. */
static u64 step_towards(const struct balloon *engine, const struct balloon_sample *sample, u64 wish)
{
	const struct balloon_parameters *p = &engine->parameters;
	u64 from = MIN(MAX(sample->actual, sample->min), sample->max);
	u64 down = MAX(permille(from, p->down_permille), 1UL);
	u64 up = MAX(permille(sample->max, p->up_permille), 1UL);

	wish = MIN(MAX(wish, from > down ? from - down : 0), from + up);
	return MIN(MAX(wish, sample->min), sample->max);
}

/* RAM is given only out of what is there now: the pool above its minimum, not what a guest that is
 * to shrink still holds. Entitlement comes first: below its minimum a guest is never cut. */
static void fit_ram(struct balloon *engine, struct balloon_wish *wishes, struct balloon_plan *plan)
{
	u64 room = engine->parameters.memory - engine->parameters.pool_min, growth = 0;

	for (unsigned i = 0; i < plan->count; i++) {
		const struct balloon_sample *sample = &engine->sample[i];
		u64 base = sample->responsive ? MAX(sample->actual, sample->min) : sample->actual;

		room -= MIN(room, base);
		if (plan->target[i].ram > base)
			growth += plan->target[i].ram - base;
	}
	if (growth <= room)
		return;
	for (unsigned i = 0; i < plan->count; i++) {
		const struct balloon_sample *sample = &engine->sample[i];
		u64 base = MAX(sample->actual, sample->min), *ram = &plan->target[i].ram;

		if (sample->responsive && *ram > base) {
			*ram = base + balloon_part(*ram - base, room, growth);
			wishes[i].own_reason = BALLOON_LIMITS;
		}
	}
}

/* The least that guest @index can be asked for now. */
static u64 least(const struct balloon *engine, unsigned index)
{
	const struct balloon_sample *sample = &engine->sample[index];

	return sample->responsive ? step_towards(engine, sample, 0) : sample->actual;
}

/* Where guests have more than there is, since they may begin as large as they like, each gives up
 * what it has above the least it can be asked for now, in proportion. */
static void fit_excess(
	struct balloon *engine, struct balloon_wish *wishes, struct balloon_plan *plan)
{
	u64 room = engine->parameters.memory - engine->parameters.pool_min, all = 0, above = 0,
	    excess;

	for (unsigned i = 0; i < plan->count; i++) {
		u64 ram = plan->target[i].ram;

		all += ram;
		above += ram - MIN(ram, least(engine, i));
	}
	if (all <= room || !above)
		return;
	excess = MIN(all - room, above);
	for (unsigned i = 0; i < plan->count; i++) {
		u64 *ram = &plan->target[i].ram, part = *ram - MIN(*ram, least(engine, i));

		/* Rounded up: what is left over would be asked for again and again. */
		if (part) {
			*ram -= MIN(part, balloon_part(excess, part, above) + 1);
			wishes[i].own_reason = BALLOON_LIMITS;
		}
	}
}

static void fit_shares(const struct balloon *engine, struct balloon_plan *plan)
{
	u64 left = engine->parameters.memory, wanted = 0;

	for (unsigned i = 0; i < plan->count; i++) {
		left -= MIN(left, plan->target[i].ram);
		plan->target[i].share = MIN(plan->target[i].share, PAGES_MAX);
		wanted += plan->target[i].share;
	}
	plan->pool = left;
	if (wanted <= left)
		return;
	for (unsigned i = 0; i < plan->count; i++)
		plan->target[i].share = balloon_part(plan->target[i].share, left, wanted);
}

/* PSI's idea, from what is at hand: of the faults that the guest had to wait for, the part that
 * waited for a disk; smoothed over about eight ticks. */
static void note_pressure(struct balloon_guest *guest, const struct balloon_sample *sample)
{
	u64 waited = sample->disk_reads, all, now;

	if (waited == BALLOON_UNKNOWN) {
		waited = sample->major_faults == BALLOON_UNKNOWN ? 0 : sample->major_faults;
		waited += sample->swap_in == BALLOON_UNKNOWN ? 0 : sample->swap_in;
	}
	all = waited;
	for (unsigned kind = 0; kind < BALLOON_CLASSES; kind++)
		all += sample->tmem[kind].hits;
	now = all ? waited * 1024 / all : 0;
	guest->pressure = (guest->pressure * 7 + now) / 8;
	guest->refaults_rate = (guest->refaults_rate + sample->refaults * 256) / 2;
}

void balloon_tick(struct balloon *balloon, const struct balloon_sample *samples, unsigned count,
	struct balloon_plan *plan)
{
	struct balloon_wish *wishes = balloon->wish;

	memset(plan, 0, sizeof(*plan));
	memset(wishes, 0, sizeof(balloon->wish));
	plan->count = MIN(count, BALLOON_GUESTS_MAX);
	for (unsigned i = 0; i < plan->count; i++) {
		struct balloon_guest *guest = &balloon->guest[i];

		balloon->sample[i] = samples[i];
		sample_check(&balloon->sample[i]);
		note_pressure(guest, &balloon->sample[i]);
		if (!guest->known)
			guest->target.ram = balloon->sample[i].actual;
	}
	balloon->policy->plan(balloon, plan->count, wishes);
	for (unsigned i = 0; i < plan->count; i++) {
		const struct balloon_sample *sample = &balloon->sample[i];

		plan->target[i] = wishes[i].target;
		if (sample->responsive) {
			plan->target[i].ram = step_towards(balloon, sample, wishes[i].target.ram);
		} else {
			plan->target[i].ram = sample->actual;
			plan->unresponsive++;
		}
	}
	fit_ram(balloon, wishes, plan);
	fit_excess(balloon, wishes, plan);
	fit_shares(balloon, plan);
	balloon_moves(balloon, wishes, plan);
	for (unsigned i = 0; i < plan->count; i++) {
		balloon->guest[i].target = plan->target[i];
		balloon->guest[i].known = true;
	}
}
