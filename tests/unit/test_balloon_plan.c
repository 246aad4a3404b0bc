/*
 * Plans of every policy for random and absurd samples of 0 to 64 guests: the rules that hold
 * whatever a guest says, checked by a second writing of them (balloon_check.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "balloon/ghosts.h"
#include "tests/unit/balloon_check.h"

#define ENTRIES 256U

static struct balloon balloon;
static struct balloon_plan plan;
static struct ghosts ghosts[BALLOON_GUESTS_MAX];
static struct ghost tables[BALLOON_GUESTS_MAX][ENTRIES];
static u64 seed;

static u64 draw(void)
{
	u64 z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static u64 below(u64 bound)
{
	return draw() % bound;
}

/* Zero, small, anything, or the largest number there is. */
static u64 absurd(void)
{
	switch (below(4)) {
	case 0:
		return 0;
	case 1:
		return below(1000);
	case 2:
		return draw() >> below(64);
	default:
		return ~0UL;
	}
}

static void draw_absurd(struct balloon_sample *sample)
{
	u64 *words = (u64 *)(void *)sample;

	for (size_t i = 0; i < sizeof(*sample) / sizeof(u64); i++)
		words[i] = absurd();
	sample->idle_known = below(2);
	sample->responsive = below(4) != 0;
	sample->priority = (u32)absurd();
	sample->max_refaults_per_second = (u32)absurd();
	sample->ghosts = NULL;
}

static void draw_sane(struct balloon_sample *sample, const struct balloon_target *target)
{
	u64 gets = below(2000);

	*sample = (struct balloon_sample){
		.actual = target->ram,
		.min = 1000,
		.max = 20000,
		.pool = target->share,
		.tmem = {{below(2000), gets, below(gets + 1)}},
		.disk_reads = below(2000),
		.refaults = below(3000),
		.idle_known = below(2),
		.responsive = below(20) != 0,
		.priority = (u32)below(300),
		.max_refaults_per_second = below(3) ? 0 : 100,
		.free = below(target->ram + 1),
		.caches = below(target->ram + 1),
		.available = below(target->ram + 1),
		.swap_in = below(300),
	};
	for (unsigned age = 0; age < BALLOON_AGES; age++) {
		sample->idle[age] = below(target->ram / 4 + 1);
		sample->touched[age] = below(target->ram / 8 + 1);
	}
}

/* @ticks of @count guests under @policy. */
static void play(const char *policy, unsigned count, unsigned ticks, bool sane)
{
	struct balloon_sample samples[BALLOON_GUESTS_MAX];
	struct balloon_target before[BALLOON_GUESTS_MAX] = {0};
	bool known[BALLOON_GUESTS_MAX] = {false};
	struct balloon_parameters parameters;

	balloon_defaults(
		&parameters, sane ? count * 10000 + 1 : absurd(), sane ? 1000 : (u32)absurd());
	balloon_init(&balloon, &parameters);
	assert_int_equal(balloon_policy_set(&balloon, policy), 0);
	for (unsigned i = 0; i < count; i++) {
		memset(tables[i], 0, sizeof(tables[i]));
		ghosts_init(&ghosts[i], 20000, tables[i], ENTRIES);
		before[i].ram = 8000;
	}
	for (unsigned tick = 0; tick < ticks; tick++) {
		const char *wrong;

		for (unsigned i = 0; i < count; i++) {
			if (sane)
				draw_sane(&samples[i], &before[i]);
			else
				draw_absurd(&samples[i]);
			if (below(8))
				samples[i].ghosts = &ghosts[i];
			for (unsigned event = 0; event < 200; event++) {
				struct ghosts_event at = {
					.hash = below(30000) * 0x9e3779b97f4a7c15 >> below(8),
					.puts = sane ? tick * 100 + event / 2 : absurd(),
					.gets = sane ? tick * 100 + event / 2 : absurd(),
					.ram_pages = before[i].ram,
				};

				if (below(2))
					ghosts_put(&ghosts[i], &at);
				else
					ghosts_get(&ghosts[i], &at);
			}
		}
		balloon_tick(&balloon, samples, count, &plan);
		wrong = balloon_check(&balloon, samples, count, &plan, before, known);
		if (wrong)
			fail_msg("%s, %u guests, tick %u: %s", policy, count, tick, wrong);
		for (unsigned i = 0; i < plan.count; i++) {
			before[i] = plan.target[i];
			known[i] = true;
		}
	}
}

static void play_all(bool sane)
{
	static const unsigned counts[] = {0, 1, 2, 3, 17, 64};

	for (unsigned p = 0; balloon_policy_name(p); p++)
		for (unsigned c = 0; c < ARRAY_SIZE(counts); c++)
			play(balloon_policy_name(p), counts[c], 40, sane);
}

static void rules_hold_for_sane_samples(void **state)
{
	(void)state;
	seed = 1;
	play_all(true);
}

static void rules_hold_for_absurd_samples(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		seed = 100 + round;
		play_all(false);
	}
}

static void more_guests_than_fit_are_left_out(void **state)
{
	static struct balloon_sample samples[BALLOON_GUESTS_MAX + 1];
	struct balloon_parameters parameters;

	(void)state;
	balloon_defaults(&parameters, 100000, 1000);
	balloon_init(&balloon, &parameters);
	balloon_tick(&balloon, samples, BALLOON_GUESTS_MAX + 1, &plan);
	assert_int_equal(plan.count, BALLOON_GUESTS_MAX);
}

static void policies_are_found_by_name(void **state)
{
	struct balloon_parameters parameters;

	(void)state;
	balloon_defaults(&parameters, 100000, 1000);
	balloon_init(&balloon, &parameters);
	assert_string_equal(balloon_policy_name(0), "refault");
	assert_null(balloon_policy_name(4));
	assert_int_not_equal(balloon_policy_set(&balloon, "reflaut"), 0);
	assert_int_not_equal(balloon_policy_set(&balloon, ""), 0);
	for (unsigned reason = 0; reason <= BALLOON_REASONS; reason++)
		assert_true(strlen(balloon_reason_text(reason)) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_hold_for_sane_samples),
		cmocka_unit_test(rules_hold_for_absurd_samples),
		cmocka_unit_test(more_guests_than_fit_are_left_out),
		cmocka_unit_test(policies_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
