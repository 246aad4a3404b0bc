/*
 * The history of pages that left, against a plain model with sets as lists: what is remembered,
 * growth, each allocation failing, false positives and age.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/metadata.h"
#include "tmem/history.h"

static void count_page(void *page, void *argument)
{
	assert_non_null(page);
	++*(u64 *)argument;
}

/* At once, or with the next call. */
static void note(struct history *history, u64 hash, enum departure why)
{
	static unsigned calls;

	if (calls++ % 2) {
		history_note_later(history, hash, why);
	} else {
		history_settle(history);
		history_note(history_prefetch(history, hash), hash, why);
	}
}

static enum departure recall(struct history *history, u64 hash)
{
	history_settle(history);
	return history_recall(history_prefetch(history, hash), hash);
}

static void grow_to(struct history *history, u32 pages)
{
	while (history->pages < pages)
		history_adjust(NULL, history, (u64)pages * HISTORY_PAGE_KEYS);
}

static void check_visits(const struct history *history)
{
	u64 visited = 0;

	history_visit(history, count_page, &visited);
	assert_int_equal(visited, pages_in_use);
}

static void the_newest_of_a_set_are_remembered(void **state)
{
	struct history history;
	u64 set = 5UL << HISTORY_SET_SHIFT;

	(void)state;
	history_init(&history);
	grow_to(&history, 1);
	for (u64 i = 1; i <= HISTORY_SET_KEYS; i++)
		note(&history, set | i, i % 2 ? DEPARTURE_HIT : DEPARTURE_EVICTED);
	for (u64 i = 1; i <= HISTORY_SET_KEYS; i++) {
		assert_int_equal(
			recall(&history, set | i), i % 2 ? DEPARTURE_HIT : DEPARTURE_EVICTED);
		assert_int_equal(recall(&history, (set + (1UL << HISTORY_SET_SHIFT)) | i),
			DEPARTURE_UNKNOWN);
	}
	note(&history, set | 100, DEPARTURE_EVICTED);
	assert_int_equal(recall(&history, set | 1), DEPARTURE_UNKNOWN);
	assert_int_equal(recall(&history, set | 2), DEPARTURE_EVICTED);

	/* What happened last counts. */
	note(&history, set | 2, DEPARTURE_HIT);
	assert_int_equal(recall(&history, set | 2), DEPARTURE_HIT);
	/* A hash whose fingerprint would be that of an empty place. */
	assert_int_equal(recall(&history, 7UL << HISTORY_SET_SHIFT), DEPARTURE_UNKNOWN);
	note(&history, 7UL << HISTORY_SET_SHIFT, DEPARTURE_EVICTED);
	assert_int_equal(recall(&history, 7UL << HISTORY_SET_SHIFT), DEPARTURE_EVICTED);
	history_destroy(NULL, &history);
	assert_int_equal(pages_in_use, 0);
}

/* The model: each set a list, newest first. */
#define MODEL_PAGES 40U
struct model_key {
	u16 key;
	bool hit;
};
static struct model_key model[MODEL_PAGES][HISTORY_PAGE_SETS][HISTORY_SET_KEYS];
static u32 model_pages;

static struct model_key *model_set(u64 hash)
{
	u32 all = 1;
	u32 page;

	while (all < model_pages)
		all *= 2;
	page = (u32)(hash >> 23 & 0x3ffff) % all;
	if (page >= model_pages)
		page -= all / 2;
	return model[page][hash >> 16 & 127];
}

static u16 model_fingerprint(u64 hash)
{
	return hash % 32768 ? hash % 32768 : 32767;
}

static enum departure model_recall(u64 hash)
{
	if (!model_pages)
		return DEPARTURE_UNKNOWN;
	for (unsigned i = 0; i < HISTORY_SET_KEYS; i++)
		if (model_set(hash)[i].key == model_fingerprint(hash))
			return model_set(hash)[i].hit ? DEPARTURE_HIT : DEPARTURE_EVICTED;
	return DEPARTURE_UNKNOWN;
}

static void model_note(u64 hash, bool hit)
{
	struct model_key *set;

	if (!model_pages)
		return;
	set = model_set(hash);
	memmove(set + 1, set, (HISTORY_SET_KEYS - 1) * sizeof(*set));
	set[0] = (struct model_key){model_fingerprint(hash), hit};
}

static void model_resize(u32 pages)
{
	u32 half = 1;

	if (pages <= model_pages) {
		model_pages = pages;
		return;
	}
	while (half * 2 < pages)
		half *= 2;
	if (pages == 1)
		memset(model[0], 0, sizeof(model[0]));
	else
		memcpy(model[pages - 1], model[pages - 1 - half], sizeof(model[0]));
	model_pages = pages;
}

/* Few different keys in few sets, so that all kinds of meetings happen. */
static u64 some_hash(void)
{
	u64 word = random_word();

	return (word & (63UL << 23)) | (word >> 40 & 7) << 16 | (word >> 50 & 31);
}

static void random_operations_match_a_model(void **state)
{
	struct history history;
	u64 keys = 0;
	unsigned known = 0, failed = 0, shrunk = 0;

	(void)state;
	model_pages = 0;
	history_init(&history);
	for (unsigned step = 0; step < 400000; step++) {
		u64 word = random_word();
		u64 hash = some_hash();

		if (word % 1024 == 0)
			keys = random_word() % ((MODEL_PAGES - 2) * HISTORY_PAGE_KEYS);
		if (word % 64 == 1) {
			u32 before = history.pages;
			bool fails = word % 128 == 1;

			until_failure = fails ? 0 : ~0UL;
			history_adjust(NULL, &history, keys);
			assert_true(history.pages + 1 >= before && history.pages <= before + 1);
			failed += fails && history.pages == before;
			shrunk += history.pages < before;
			assert_true(!fails || history.pages <= before);
			if (!fails && before * (u64)HISTORY_PAGE_KEYS < keys)
				assert_int_equal(history.pages, before + 1);
			model_resize(history.pages);
			check_visits(&history);
		} else if (word % 2) {
			note(&history, hash, word & 4 ? DEPARTURE_HIT : DEPARTURE_EVICTED);
			model_note(hash, word & 4);
		}
		assert_int_equal(recall(&history, hash), model_recall(hash));
		known += model_recall(hash) != DEPARTURE_UNKNOWN;
	}
	assert_true(known > 100000 && known < 399000 && failed > 100 && shrunk > 20);
	history_destroy(NULL, &history);
	assert_int_equal(pages_in_use, 0);
}

static void growth_forgets_nothing(void **state)
{
	enum { KEYS = 600 };
	struct history history;
	u64 hashes[KEYS];

	(void)state;
	history_init(&history);
	grow_to(&history, 1);
	for (unsigned i = 0; i < KEYS; i++) {
		hashes[i] = random_word();
		note(&history, hashes[i], DEPARTURE_HIT);
	}
	for (u32 pages = 2; pages <= 70; pages++) {
		grow_to(&history, pages);
		for (unsigned i = 0; i < KEYS; i++)
			assert_int_equal(recall(&history, hashes[i]), DEPARTURE_HIT);
	}
	/* And down to nothing, a page a call; one more than needed stays until none is wanted. */
	for (u32 pages = 69; pages > 0; pages--) {
		history_adjust(NULL, &history, 0);
		assert_int_equal(history.pages, pages);
		check_visits(&history);
	}
	history_adjust(NULL, &history, 0);
	assert_int_equal(history.pages, 0);
	assert_int_equal(recall(&history, hashes[0]), DEPARTURE_UNKNOWN);
	history_destroy(NULL, &history);
	assert_int_equal(pages_in_use, 0);
}

/* 515 pages need every kind of directory page; each allocation fails once on the way. */
static void each_allocation_may_fail(void **state)
{
	struct history history;
	u64 failures = 0;

	(void)state;
	history_init(&history);
	note(&history, 1, DEPARTURE_HIT);
	assert_int_equal(recall(&history, 1), DEPARTURE_UNKNOWN);
	for (u32 pages = 1; pages <= 515; pages++) {
		/* The first one fails, and then always the second, so that each comes to be the
		 * one that fails. */
		for (unsigned try = 0; history.pages < pages; try++) {
			u64 hash = random_word();

			until_failure = try ? 1 : 0;
			history_adjust(NULL, &history, ~0U);
			failures += history.pages < pages;
			check_visits(&history);
			note(&history, hash, DEPARTURE_EVICTED);
			assert_int_equal(recall(&history, hash),
				history.pages ? DEPARTURE_EVICTED : DEPARTURE_UNKNOWN);
			assert_true(try < 4);
		}
	}
	assert_int_equal(failures, 515 + 3);
	history_destroy(NULL, &history);
	assert_int_equal(pages_in_use, 0);
}

static void false_positives_are_as_rare_as_promised(void **state)
{
	enum { PAGES = 3, TRIES = 2000000 };
	struct history history;
	u64 found = 0;
	double expected = TRIES * (double)HISTORY_SET_KEYS / 32768;

	(void)state;
	history_init(&history);
	grow_to(&history, PAGES);
	for (unsigned i = 0; i < 4 * PAGES * HISTORY_PAGE_KEYS; i++)
		note(&history, random_word(), DEPARTURE_EVICTED);
	for (unsigned i = 0; i < TRIES; i++)
		found += recall(&history, random_word()) != DEPARTURE_UNKNOWN;
	assert_true((double)found > 0.85 * expected && (double)found < 1.15 * expected);
	history_destroy(NULL, &history);
}

/* Of a steady stream of departures, what left at most half of the capacity ago is nearly all known,
 * what left twice the capacity ago nearly all forgotten. */
static void age_decides_what_is_forgotten(void **state)
{
	enum { PAGES = 4, STREAM = 6 * PAGES * 2048 };
	static u64 hashes[STREAM];
	struct history history;
	unsigned capacity = PAGES * HISTORY_PAGE_KEYS, young = 0, old = 0;

	(void)state;
	history_init(&history);
	grow_to(&history, PAGES);
	for (unsigned i = 0; i < STREAM; i++) {
		hashes[i] = random_word();
		note(&history, hashes[i], DEPARTURE_HIT);
		if (i >= 2 * capacity) {
			young += recall(&history, hashes[i - capacity / 2]) == DEPARTURE_HIT;
			old += recall(&history, hashes[i - 2 * capacity]) == DEPARTURE_HIT;
		}
	}
	assert_true(young > 97 * (STREAM - 2 * capacity) / 100);
	assert_true(old < 3 * (STREAM - 2 * capacity) / 100);
	history_destroy(NULL, &history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_newest_of_a_set_are_remembered, reset),
		cmocka_unit_test_setup(random_operations_match_a_model, reset),
		cmocka_unit_test_setup(growth_forgets_nothing, reset),
		cmocka_unit_test_setup(each_allocation_may_fail, reset),
		cmocka_unit_test_setup(false_positives_are_as_rare_as_promised, reset),
		cmocka_unit_test_setup(age_decides_what_is_forgotten, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
