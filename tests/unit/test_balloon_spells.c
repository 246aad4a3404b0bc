/*
 * Busy spells and gaps: what is measured of guests that work in turns, steadily, or once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balloon/spells.h"

#define TICK_MS 1000U

static struct balloon_guest guest;
static struct balloon_sample sample;

static int start(void **state)
{
	(void)state;
	guest = (struct balloon_guest){0};
	sample = (struct balloon_sample){.idle_known = true};
	return 0;
}

/* @touched pages of age 0, and @old that were not used for 64 ticks. */
static void tick(u64 touched, u64 old)
{
	sample.touched[0] = touched;
	sample.touched[6] = old;
	spell_note(&guest, &sample, TICK_MS);
	guest.known = true;
}

/* @rounds of @busy ticks with 1000 pages each and @idle ones with 20; in the first of each spell
 * 500 are old. */
static void turns(unsigned rounds, unsigned busy, unsigned idle)
{
	while (rounds-- > 0) {
		for (unsigned t = 0; t < busy; t++)
			tick(t ? 1000 : 500, t ? 0 : 500);
		for (unsigned t = 0; t < idle; t++)
			tick(20, 0);
	}
}

static void turns_are_measured(void **state)
{
	(void)state;
	turns(8, 40, 80);
	assert_false(guest.busy);
	assert_in_range(guest.spell_usual, 38, 44);
	assert_in_range(guest.gap_usual, 76, 82);
	assert_in_range(spell_price(&guest), 65536 / 44, 65536 / 38);
	turns(1, 40, 10);
	assert_in_range(spell_return(&guest), 66, 76);
	/* Gaps vary, so when one is nearly over its end is not awaited to the tick. */
	turns(1, 0, 60);
	assert_in_range(spell_return(&guest), 80 / 3 - 2, 80 / 3 + 2);
}

/* Nobody knows when a guest will be back that never was; and one that stays away for longer than
 * usual may stay as long again. */
static void what_was_not_seen_is_not_awaited(void **state)
{
	(void)state;
	turns(1, 40, 300);
	assert_int_equal(spell_return(&guest), 0);
	turns(4, 40, 80);
	turns(1, 40, 400);
	assert_in_range(spell_return(&guest), 395, 405);
}

static void a_steady_guest_is_busy(void **state)
{
	(void)state;
	turns(1, 600, 0);
	assert_true(guest.busy);
	assert_int_equal(guest.spell, 600);
	assert_int_equal(spell_price(&guest), 65536 / 600);
}

/* One tick of much work in each spell does not make the rest of it idle. */
static void a_spell_is_more_than_its_peak(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 8; round++)
		for (unsigned t = 0; t < 120; t++)
			tick(t == 0 ? 2500 : t < 40 ? 200 : 0, 0);
	assert_in_range(guest.spell_usual, 38, 46);
}

/* Pages are counted once a spell: as old ones in RAM, or as they come in. */
static void pages_of_a_spell_are_counted(void **state)
{
	(void)state;
	turns(3, 40, 80);
	assert_int_equal(spell_pages(&guest), 1000);
	sample.tmem[BALLOON_EPHEMERAL].gets = 30;
	turns(1, 40, 0);
	assert_int_equal(spell_pages(&guest), 1000 + 1000 + 40 * 30);
	sample.tmem[BALLOON_EPHEMERAL].gets = 0;
	/* The last spell's count, and that of the next one as it comes in. */
	turns(1, 0, 80);
	assert_int_equal(spell_pages(&guest), 1000 + 40 * 30);
	turns(1, 2, 0);
	assert_int_equal(spell_pages(&guest), 1000 + 40 * 30 + 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(turns_are_measured, start),
		cmocka_unit_test_setup(what_was_not_seen_is_not_awaited, start),
		cmocka_unit_test_setup(a_steady_guest_is_busy, start),
		cmocka_unit_test_setup(a_spell_is_more_than_its_peak, start),
		cmocka_unit_test_setup(pages_of_a_spell_are_counted, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
