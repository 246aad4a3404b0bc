/*
 * Refault distances by sampling against exact ones: a guest with an LRU list of RAM, its evictions
 * and refaults sent to the estimator, and a plain stack beside it that knows every distance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "balloon/ghosts.h"

#define PAGES   16384U
#define RAM     4096U
#define LARGEST 8192U /* so the curve ends at 2 * LARGEST = PAGES */
#define ENTRIES 1024U
#define WARM    60000U
#define RUN     400000U

static struct ghosts ghosts;
static struct ghost table[ENTRIES];
static u64 seed;

static u64 draw(void)
{
	u64 z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static u64 salt; /* which keys are sampled depends on it */

static u64 hash_of(u32 page)
{
	u64 z = (page + 1 + (salt << 32)) * 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	return z ^ z >> 29;
}

static u64 all_puts, all_gets;

static void put(u64 hash, u64 ram_pages)
{
	all_puts++;
	if (ghosts_sampled(&ghosts, hash))
		ghosts_put(&ghosts, &(struct ghosts_event){hash, all_puts, all_gets, ram_pages});
}

static void get(u64 hash, u64 ram_pages)
{
	all_gets++;
	if (ghosts_sampled(&ghosts, hash))
		ghosts_get(&ghosts, &(struct ghosts_event){hash, all_puts, all_gets, ram_pages});
}

/* As new, for a guest of at most @max_pages. */
static void start(u64 max_pages, u32 entries)
{
	memset(table, 0, sizeof(table));
	ghosts_init(&ghosts, max_pages, table, entries);
	all_puts = all_gets = 0;
}

enum shape { EVEN, SKEWED, LOOP };

/* The whole stack as an array, newest first: slow and beyond doubt. */
static u32 stack[PAGES], depth_of_stack;

static u32 touch(u32 page)
{
	u32 at = 0;

	while (at < depth_of_stack && stack[at] != page)
		at++;
	if (at == depth_of_stack)
		depth_of_stack++;
	memmove(&stack[1], &stack[0], at * sizeof(stack[0]));
	stack[0] = page;
	return at;
}

static u32 next_page(enum shape shape, u32 i, u32 set)
{
	u64 u = draw() >> 40;

	switch (shape) {
	case EVEN:
		return (u32)(u * set >> 24);
	case SKEWED:
		return (u32)((u * u >> 24) * set >> 24);
	default:
		return i % set;
	}
}

/* Moments at which the histogram is looked at, as the policies do in each tick. */
#define LOOKS 40U
#define SEEDS 6U

static u64 exact[BALLOON_BUCKETS];
static u32 looks[LOOKS][BALLOON_BUCKETS];
static u32 rate_of_all; /* the highest of all runs, in ten thousandths */

/* Plays a guest with @set pages: exact distances of all refaults, and what the estimator had found
 * at LOOKS moments, faded as it is. */
static void play(enum shape shape, u32 set, u64 with_seed)
{
	const u32 run = RUN / 8;
	u64 events = 0, all = 0;

	start(LARGEST, ENTRIES);
	memset(exact, 0, sizeof(exact));
	depth_of_stack = 0;
	seed = salt = with_seed;
	for (u32 i = 0; i < WARM + run; i++) {
		u32 page = next_page(shape, i, set), size = depth_of_stack, depth = touch(page);
		bool first = size != depth_of_stack;

		if (i >= WARM && (i - WARM) % (run / LOOKS) == run / LOOKS - 1)
			memcpy(looks[(i - WARM) / (run / LOOKS)], ghosts.found, sizeof(looks[0]));
		if (!first && depth < RAM)
			continue;
		get(hash_of(page), RAM);
		if (depth_of_stack > RAM)
			put(hash_of(stack[RAM]), RAM);
		events += 2;
		if (i < WARM || first || depth / ghosts.step >= BALLOON_BUCKETS)
			continue;
		exact[depth / ghosts.step]++;
		all++;
	}
	assert_true(all > 1000);
	/* At most one operation in a hundred, whatever luck says of which keys they are and how
	 * often these are used. */
	assert_true(ghosts.sampled * 1000 <= events * 10 && ghosts.sampled * 1000 >= events * 4);
	rate_of_all = MAX(rate_of_all, (u32)(ghosts.sampled * 10000 / events));
}

/* How far the curve (share of refaults that a size would turn into hits) is off at one look, in
 * permille, over the sizes of the grid. */
static void compare(const u32 *found, u32 *worst, u32 *mean)
{
	u64 all = 0, all_found = 0, up = 0, up_found = 0, sum = 0;

	for (u32 bucket = 0; bucket < BALLOON_BUCKETS; bucket++) {
		all += exact[bucket];
		all_found += found[bucket];
	}
	assert_true(all_found > 0);
	*worst = 0;
	for (u32 bucket = 0; bucket < BALLOON_BUCKETS; bucket++) {
		u32 error;

		up += exact[bucket];
		up_found += found[bucket];
		error = (u32)labs((long)(up * 1000 / all) - (long)(up_found * 1000 / all_found));
		*worst = MAX(*worst, error);
		sum += error;
	}
	*mean = (u32)(sum / BALLOON_BUCKETS);
}

static void check(const char *name, enum shape shape, u32 set, u32 worst_allowed, u32 mean_allowed)
{
	u32 worst_of_all = 0;
	u64 sum = 0;

	for (u32 i = 0; i < SEEDS; i++) {
		play(shape, set, 3 + 7 * i);
		for (u32 look = 0; look < LOOKS; look++) {
			u32 worst, mean;

			compare(looks[look], &worst, &mean);
			worst_of_all = MAX(worst_of_all, worst);
			sum += mean;
		}
	}
	sum /= SEEDS * LOOKS;
	print_message("%s: mean error %u, worst %u permille; sampled at most %u of 10000\n", name,
		(unsigned)sum, worst_of_all, rate_of_all);
	if (worst_of_all > worst_allowed || sum > mean_allowed)
		fail_msg("%s: the curve is off by %u on the mean, %u at worst", name, (unsigned)sum,
			worst_of_all);
}

static void even_use_is_measured(void **state)
{
	(void)state;
	check("even", EVEN, 12000, 250, 50);
}

static void skewed_use_is_measured(void **state)
{
	(void)state;
	check("skewed", SKEWED, 14000, 250, 60);
}

/* All refaults of a loop have one distance; it may be off by the luck of sampling (about 70 pages
 * of the set are sampled) and half a segment, so that the curves differ by all of it in between,
 * and only the mean says something. */
static void a_loop_is_a_cliff(void **state)
{
	u64 below = 0, near = 0;

	(void)state;
	check("loop", LOOP, 10000, 1000, 60); /* a worst of 1000: not looked at */
	for (u32 bucket = 0; bucket < BALLOON_BUCKETS; bucket++)
		*(bucket * ghosts.step > 8000 && bucket * ghosts.step < 12000 ? &near : &below) +=
			ghosts.found[bucket];
	assert_true(near > below * 10);
}

static void a_small_table_lowers_the_rate(void **state)
{
	(void)state;
	start(1UL << 22, ENTRIES);
	assert_true(ghosts.threshold < 0xffffffffU / GHOSTS_ONE_IN / 80);
	start(LARGEST, ENTRIES);
	assert_int_equal(ghosts.threshold, 0xffffffffU / GHOSTS_ONE_IN);
	start(0, 64);
	put(1, 0);
	get(1, 0);
}

static void counters_agree_with_the_table(void **state)
{
	(void)state;
	start(LARGEST, ENTRIES);
	ghosts.threshold = ~0U; /* everything, so that sets overflow and segments pass */
	seed = 9;
	for (u32 i = 0; i < 20000; i++) {
		u64 hash = hash_of((u32)(draw() % 3000));
		u32 alive[GHOSTS_SEGMENTS] = {0}, groups = 0, lives = 0;

		switch (draw() % 4) {
		case 0:
			get(hash, RAM);
			break;
		case 1:
			ghosts_flush(&ghosts, hash);
			break;
		default:
			put(hash, RAM);
		}
		if (i % 100)
			continue;
		for (u32 e = 0; e < ENTRIES; e++)
			if (table[e].tag && ghosts.segment - table[e].segment < GHOSTS_SEGMENTS)
				alive[table[e].segment % GHOSTS_SEGMENTS]++;
		for (u32 s = 0; s < GHOSTS_SEGMENTS; s++) {
			assert_int_equal(alive[s], ghosts.live[s]);
			lives += ghosts.live[s];
		}
		for (u32 g = 0; g < GHOSTS_SEGMENTS / GHOSTS_GROUP; g++)
			groups += ghosts.group[g];
		assert_int_equal(groups, lives);
	}
}

/* Between two events only totals are known: who evicts is full, and who was given RAM fills it. */
static void what_fills_is_seen_in_totals(void **state)
{
	struct ghosts_event event = {.hash = 1, .puts = 50, .gets = 900, .ram_pages = 800};

	(void)state;
	start(LARGEST, ENTRIES);
	ghosts_put(&ghosts, &event);
	assert_int_equal(ghosts.ram_used, 800);
	assert_int_equal(ghosts.puts, 50);
	event.gets += 100; /* nothing evicted, nothing given: full as it was */
	ghosts_get(&ghosts, &event);
	assert_int_equal(ghosts.ram_used, 800);
	event.ram_pages = 2000; /* evicted 30 before it was given more, and got 130 */
	event.gets += 130;
	event.puts += 30;
	ghosts_get(&ghosts, &event);
	assert_int_equal(ghosts.ram_used, 900);
	event.gets += 500;
	ghosts_get(&ghosts, &event);
	assert_int_equal(ghosts.ram_used, 1400);
	event.puts++; /* so it is full after all */
	ghosts_put(&ghosts, &event);
	assert_int_equal(ghosts.ram_used, 2000);
	event.ram_pages = 300;
	ghosts_get(&ghosts, &event);
	assert_int_equal(ghosts.ram_used, 300);
	/* Totals that go back are nobody's, and do no harm. */
	event.puts = event.gets = 0;
	ghosts_put(&ghosts, &event);
	assert_int_equal(ghosts.puts, 81);
	assert_int_equal(ghosts.ram_used, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(even_use_is_measured),
		cmocka_unit_test(skewed_use_is_measured),
		cmocka_unit_test(a_loop_is_a_cliff),
		cmocka_unit_test(a_small_table_lowers_the_rate),
		cmocka_unit_test(counters_agree_with_the_table),
		cmocka_unit_test(what_fills_is_seen_in_totals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
