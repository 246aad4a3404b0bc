/*
 * The generator. A guest has a set of pages that it works on and a light set for when it is idle; a
 * schedule says in which phase it does which. Memory is short in every workload: working sets are
 * two to three times a guest's even part, so that somebody's need can be met only with somebody
 * else's memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/balloon/workload.h"

#define TICK_MS 1000U

enum schedule { STEADY, SHIFTING, BURSTY, SCAN, IDLE_MAJORITY, EVERYONE, LIAR, ECHO };
enum pattern { EVEN, SKEWED, LOOP, ONCE };

static const struct recipe {
	const char *name;
	enum schedule schedule;
	unsigned guests, ticks, phase, mib; /* MiB: a guest's even part of the memory */
	u64 seed;                           /* of the first trace */
} recipes[] = {
	{"steady-3", STEADY, 3, 1000, 1000, 48, 1},
	{"steady-16", STEADY, 16, 1000, 1000, 24, 2},
	{"shifting-200-2", SHIFTING, 2, 1600, 200, 48, 3},
	{"shifting-200-3", SHIFTING, 3, 1600, 200, 48, 4},
	{"shifting-200-16", SHIFTING, 16, 1200, 200, 24, 5},
	{"shifting-200-64", SHIFTING, 64, 800, 200, 16, 6},
	{"shifting-50-3", SHIFTING, 3, 1000, 50, 48, 7},
	{"shifting-50-16", SHIFTING, 16, 600, 50, 24, 8},
	{"shifting-5-3", SHIFTING, 3, 400, 5, 48, 9},
	{"shifting-5-16", SHIFTING, 16, 400, 5, 24, 10},
	{"bursty-8", BURSTY, 8, 1000, 50, 32, 11},
	{"scan-8", SCAN, 8, 1000, 200, 32, 12},
	{"idle-majority-16", IDLE_MAJORITY, 16, 1200, 200, 24, 13},
	{"idle-majority-64", IDLE_MAJORITY, 64, 800, 200, 16, 14},
	{"everyone-8", EVERYONE, 8, 1000, 1000, 32, 15},
	{"liar-6", LIAR, 6, 1200, 200, 32, 16},
	{"echo-6", ECHO, 6, 1200, 200, 32, 17},
};

/* What a guest does when it is hungry and when it is not. */
struct habit {
	enum pattern pattern;
	u32 set, rate;             /* pages, accesses a tick */
	u32 light_set, light_rate; /* the first pages of its set */
	u32 position;              /* LOOP: next page; ONCE: next page never read before */
};

void *sim_alloc(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);

	if (!memory) {
		perror("sim");
		exit(EXIT_FAILURE);
	}
	return memory;
}

/* splitmix64 */
u64 sim_random(struct sim_random *random)
{
	u64 z = random->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

u32 sim_below(struct sim_random *random, u32 bound)
{
	return (u32)((sim_random(random) >> 32) * bound >> 32);
}

unsigned workload_count(void)
{
	return ARRAY_SIZE(recipes);
}

const char *workload_name(unsigned index)
{
	return recipes[index].name;
}

u64 workload_seed(unsigned index)
{
	return recipes[index].seed;
}

static u32 between(struct sim_random *random, u32 low, u32 high)
{
	return low + sim_below(random, high - low + 1);
}

static struct habit habit_of(const struct recipe *recipe, unsigned index, struct sim_random *random)
{
	u32 part = recipe->mib * SIM_MIB;
	struct habit habit = {
		.pattern = index % 2 ? SKEWED : EVEN,
		.set = between(random, part * 3 / 2, part * 5 / 2),
		.light_set = between(random, part / 16, part / 6),
	};

	switch (recipe->schedule) {
	case STEADY:
		habit.set = between(random, part / 2, part * 5 / 2);
		break;
	case SCAN:
		if (index % 4 == 0)
			habit.pattern = ONCE;
		else if (index % 4 == 1)
			habit.pattern = LOOP;
		break;
	case EVERYONE:
		habit.set = between(random, part * 2, part * 5 / 2);
		break;
	case IDLE_MAJORITY:
		habit.set = between(random, part * 5 / 2, part * 5);
		break;
	default:
		break;
	}
	if (recipe->guests == 2) /* half of the guests are hungry, not a third */
		habit.set = between(random, part * 5 / 4, part * 7 / 4);
	/* The whole set in eight to twenty ticks. */
	habit.rate = habit.set / between(random, 8, 20);
	if (recipe->schedule == STEADY || recipe->schedule == EVERYONE)
		habit.rate = habit.set / between(random, 10, 60);
	habit.light_rate = between(random, 8, 40);
	return habit;
}

/* Which guests are hungry in each phase. */
static bool is_hungry(
	const struct recipe *recipe, unsigned index, unsigned phase, u64 salt, unsigned tick)
{
	struct sim_random of_phase = {salt + phase * 977 + recipe->seed};
	unsigned hungry = MAX(recipe->guests / 3, 1), turn;

	switch (recipe->schedule) {
	case STEADY:
	case EVERYONE:
	case SCAN:
		return true;
	case IDLE_MAJORITY:
		hungry = MAX(recipe->guests / 4, 1);
		break;
	case BURSTY: {
		/* Each guest on its own: a burst of 10 to 100 ticks in every 200, anywhere in them.
		 */
		struct sim_random own = {salt + index * 7919 + tick / 200 * 104729};
		unsigned length = between(&own, 10, 100), start = between(&own, 0, 200 - length);

		return tick % 200 >= start && tick % 200 < start + length;
	}
	default:
		break;
	}
	if (recipe->guests == 2)
		hungry = 1;
	/* @hungry guests in a row, from a place that moves on, sometimes by more than one's worth.
	 */
	turn = phase * hungry + (recipe->guests > 3 ? sim_below(&of_phase, hungry + 1) : 0);
	return (index + recipe->guests - turn % recipe->guests) % recipe->guests < hungry;
}

static u32 next_page(struct habit *habit, bool hungry, struct sim_random *random)
{
	u32 set = hungry ? habit->set : habit->light_set;
	u64 u = sim_random(random) >> 40;

	if (!hungry || habit->pattern == EVEN)
		return (u32)(u * set >> 24);
	switch (habit->pattern) {
	case SKEWED: /* the square of a uniform number: a page's popularity falls with its root */
		return (u32)((u * u >> 24) * set >> 24);
	case LOOP:
		habit->position = (habit->position + 1) % set;
		return habit->position;
	default:
		return habit->set + habit->position++; /* ONCE */
	}
}

static void guest_make(struct sim_workload *workload, unsigned index, const struct recipe *recipe,
	struct sim_random *random)
{
	struct sim_guest *guest = &workload->guest[index];
	struct habit habit = habit_of(recipe, index, random);
	u64 salt = recipe->seed * 0x9e3779b97f4a7c15;
	u32 part = recipe->mib * SIM_MIB;
	size_t used = 0;

	guest->min = part / 4;
	guest->max = part * 3;
	guest->start = part - part / 8;
	guest->anonymous = index % 3 == 0 ? habit.set / 2 : 0;
	guest->access = sim_alloc(
		(size_t)recipe->ticks * (habit.rate + habit.light_rate), sizeof(u32));
	guest->end = sim_alloc(recipe->ticks, sizeof(u32));
	for (unsigned tick = 0; tick < recipe->ticks; tick++) {
		bool hungry = is_hungry(recipe, index, tick / recipe->phase, salt, tick);
		u32 count = hungry ? habit.rate : habit.light_rate;

		for (u32 i = 0; i < count; i++)
			guest->access[used++] = next_page(&habit, hungry, random);
		guest->end[tick] = (u32)used;
	}
	guest->pages = habit.set + habit.position + 1;
}

void workload_make(struct sim_workload *workload, unsigned index, u64 seed)
{
	struct recipe chosen = recipes[index];
	const struct recipe *recipe = &chosen;

	if (seed)
		chosen.seed = seed;

	*workload = (struct sim_workload){
		.name = recipe->name,
		.guests = recipe->guests,
		.ticks = recipe->ticks,
		.phase = recipe->phase,
		.tick_ms = TICK_MS,
		.shifting = recipe->schedule == SHIFTING,
		.liar = recipe->schedule == LIAR || recipe->schedule == ECHO ? 0 : -1,
		.echo = recipe->schedule == ECHO,
		.memory = recipe->guests * recipe->mib * SIM_MIB,
		.guest = sim_alloc(recipe->guests, sizeof(struct sim_guest)),
	};
	for (unsigned i = 0; i < recipe->guests; i++) {
		struct sim_random random = {recipe->seed * 1000003 + i};

		guest_make(workload, i, recipe, &random);
	}
}

void workload_free(struct sim_workload *workload)
{
	for (unsigned i = 0; i < workload->guests; i++) {
		free(workload->guest[i].access);
		free(workload->guest[i].end);
	}
	free(workload->guest);
}
