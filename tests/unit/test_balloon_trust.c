/*
 * Whose hits are believed: guests that hit and use their RAM, or leave it idle meanwhile, and read
 * their disks for what they lose, or do not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balloon/trust.h"

#define RAM 8000U

static struct balloon_guest guest;
static struct balloon_sample sample;

/* A guest with @pool pages in the pool that hits @hits of them a tick, and has not used @idle
 * pages of its RAM for long. */
static void start(u64 pool, u64 hits, u64 idle)
{
	guest = (struct balloon_guest){0};
	sample = (struct balloon_sample){.actual = RAM,
		.pool = pool,
		.tmem[BALLOON_EPHEMERAL] = {hits, hits, hits},
		.idle[BALLOON_AGES - 1] = idle,
		.idle_known = true};
}

/* Hits that are believed in the last of @count ticks, each with @reads pages read again. */
static u64 believed(unsigned count, u64 reads)
{
	u64 hits = sample.tmem[BALLOON_EPHEMERAL].hits, left = 0;

	sample.refaults = reads;
	while (count-- > 0) {
		trust_note(&guest, &sample);
		left = sample.tmem[BALLOON_EPHEMERAL].hits;
		sample.tmem[BALLOON_EPHEMERAL].hits = hits;
	}
	return left;
}

static void who_uses_its_ram_is_believed(void **state)
{
	(void)state;
	start(4000, 500, RAM / 10);
	assert_int_equal(believed(500, 0), 500);
}

static void hits_beyond_what_was_used_are_cut(void **state)
{
	(void)state;
	start(2000, 2000, RAM - 1000);
	assert_int_equal(believed(1, 0), 1000 + RAM / 128);
}

static void who_has_ram_for_what_it_hits_is_doubted_at_once(void **state)
{
	(void)state;
	start(4000, 100, RAM * 6 / 10);
	assert_int_equal(believed(1, 0), 0);
	/* Not with little in the pool, and not one that reads as well. */
	start(2000, 100, RAM * 6 / 10);
	assert_int_equal(believed(500, 0), 100);
	start(4000, 100, RAM * 6 / 10);
	assert_int_equal(believed(500, 30), 100);
}

/* It goes slowly through all that it has: idle RAM is used again as often as the pool's pages. */
static void who_uses_idle_ram_like_its_pool_is_believed(void **state)
{
	(void)state;
	start(4000, 100, RAM * 6 / 10);
	guest.use[BALLOON_AGES - 1] = BALLOON_USE_ONE / 40;
	assert_int_equal(believed(500, 0), 100);
	guest.use[BALLOON_AGES - 1] = BALLOON_USE_ONE / 400;
	assert_int_equal(believed(1, 0), 0);
}

static void who_leaves_ram_idle_is_doubted_after_a_while(void **state)
{
	(void)state;
	start(4000, 500, RAM / 2);
	assert_int_equal(believed(16, 0), 500);
	assert_int_equal(believed(48, 0), 0);
	/* And as long as that goes on. */
	assert_int_equal(believed(500, 0), 0);
}

static void few_hits_say_nothing(void **state)
{
	(void)state;
	start(4000, 100, RAM / 2); /* its RAM twice over takes longer than ages are known */
	assert_int_equal(believed(1000, 0), 100);
}

static void who_loses_pages_and_reads_none_stays_doubted(void **state)
{
	(void)state;
	start(4000, 500, RAM / 2);
	assert_int_equal(believed(64, 0), 0);
	sample.pool = 3000;
	assert_int_equal(believed(100, 20), 0);
}

static void who_reads_what_it_lost_is_trusted(void **state)
{
	unsigned ticks = 0;

	(void)state;
	start(4000, 500, RAM / 2);
	assert_int_equal(believed(64, 10), 0);
	/* A quarter is lost, and every fourth hit is a read. */
	sample.pool = 3000;
	sample.tmem[BALLOON_EPHEMERAL].hits = 375;
	assert_int_equal(believed(4, 135), 375);
	/* Not for ever: it still wastes. */
	while (believed(1, 10) && ticks < 1000)
		ticks++;
	assert_in_range(ticks, 16, 64);
	/* But the next time for longer. */
	sample.pool = 2000;
	sample.tmem[BALLOON_EPHEMERAL].hits = 250;
	assert_int_equal(believed(4, 135), 250);
	for (ticks = 0; believed(1, 10) && ticks < 1000;)
		ticks++;
	assert_in_range(ticks, 48, 128);
}

/* Reads that were there before are no evidence. */
static void reads_of_before_do_not_count(void **state)
{
	(void)state;
	start(4000, 500, RAM / 2);
	sample.tmem[BALLOON_EPHEMERAL].hits = 0;
	assert_int_equal(believed(64, 400), 0);
	sample.tmem[BALLOON_EPHEMERAL].hits = 500;
	assert_int_equal(believed(64, 400), 0);
	sample.pool = 3000;
	assert_int_equal(believed(100, 400), 0);
}

static void doubt_lapses_when_ram_is_used_again(void **state)
{
	(void)state;
	start(4000, 500, RAM / 2);
	assert_int_equal(believed(64, 0), 0);
	sample.idle[BALLOON_AGES - 1] = 0;
	assert_int_equal(believed(16, 0), 0);
	assert_int_equal(believed(32, 0), 500);
}

static void without_accessed_bits_all_is_believed(void **state)
{
	(void)state;
	start(4000, 20000, RAM);
	sample.idle_known = false;
	assert_int_equal(believed(200, 0), 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_uses_its_ram_is_believed),
		cmocka_unit_test(hits_beyond_what_was_used_are_cut),
		cmocka_unit_test(who_has_ram_for_what_it_hits_is_doubted_at_once),
		cmocka_unit_test(who_uses_idle_ram_like_its_pool_is_believed),
		cmocka_unit_test(who_leaves_ram_idle_is_doubted_after_a_while),
		cmocka_unit_test(few_hits_say_nothing),
		cmocka_unit_test(who_loses_pages_and_reads_none_stays_doubted),
		cmocka_unit_test(who_reads_what_it_lost_is_trusted),
		cmocka_unit_test(reads_of_before_do_not_count),
		cmocka_unit_test(doubt_lapses_when_ram_is_used_again),
		cmocka_unit_test(without_accessed_bits_all_is_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
