/*
 * The history of pages that left, and the choice of queues, against plain models: sets as lists,
 * each miniature as a list too. Memory comes from this file, and fails when a test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tmem/arena.h"
#include "tmem/history.h"
#include "tmem/queues.h"

/* ---- The host ------------------------------------------------------------------------ */

static u64 pages_in_use;
static u64 until_failure = ~0UL; /* allocations that still succeed before one fails */
static u64 random_state;

void *metadata_alloc(struct tmem *tmem)
{
	void *page;

	(void)tmem;
	if (until_failure-- == 0)
		return NULL;
	page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	assert_non_null(page);
	pages_in_use++;
	return memset(page, 0, PAGE_SIZE);
}

void metadata_free(struct tmem *tmem, void *page)
{
	(void)tmem;
	assert_non_null(page);
	assert_true(pages_in_use > 0);
	pages_in_use--;
	free(page);
}

void tmem_port_copy(void *to, const void *from)
{
	memcpy(to, from, PAGE_SIZE);
}

static u64 random_word(void)
{
	u64 z = random_state += 0x9e3779b97f4a7c15UL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

static int reset(void **state)
{
	(void)state;
	pages_in_use = 0;
	until_failure = ~0UL;
	random_state = 1;
	return 0;
}

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

/* ---- History -------------------------------------------------------------------------- */

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

/* ---- Queues --------------------------------------------------------------------------- */

static void without_memory_all_is_fifo(void **state)
{
	struct queues queues;

	(void)state;
	queues_init(&queues);
	until_failure = 0;
	queues_adjust(NULL, &queues, 100000);
	for (unsigned i = 0; i < 1000; i++) {
		u64 hash = random_word();

		assert_false(queues_sample(&queues, hash));
		queues_get(&queues, hash, false);
		assert_int_equal(queues_put(&queues, hash, (enum departure)(i % 3)), QUEUE_SMALL);
		assert_int_equal(queues_victim(&queues, 1 + i, 0), QUEUE_SMALL);
	}
	until_failure = ~0UL;
	queues_adjust(NULL, &queues, 100000);
	assert_int_equal(pages_in_use, 1);
	/* A client that has become small needs no miniatures. */
	queues_adjust(NULL, &queues, 100);
	assert_int_equal(pages_in_use, 0);
	assert_false(queues_sample(&queues, 0));
	queues_destroy(NULL, &queues);
}

static void the_fuller_queue_gives_up_a_page(void **state)
{
	struct queues queues;

	(void)state;
	queues_init(&queues);
	for (queues.rule = 0; queues.rule < RULES; queues.rule++) {
		assert_int_equal(queues_victim(&queues, 1, 0), QUEUE_SMALL);
		assert_int_equal(queues_victim(&queues, 0, 1), QUEUE_MAIN);
	}
	queues.rule = RULE_HALF;
	assert_int_equal(queues_victim(&queues, 49, 51), QUEUE_SMALL);
	assert_int_equal(queues_victim(&queues, 48, 52), QUEUE_MAIN);
	queues.rule = RULE_FEW;
	assert_int_equal(queues_victim(&queues, 10, 90), QUEUE_SMALL);
	assert_int_equal(queues_victim(&queues, 9, 91), QUEUE_MAIN);
	assert_int_equal(queues_victim(&queues, 1UL << 40, 1UL << 44), QUEUE_MAIN);
	/* What is left of the main queue goes in passing. */
	queues.rule = RULE_FIFO;
	queues.random = 0;
	assert_int_equal(queues_victim(&queues, 10, 90), QUEUE_SMALL);
	queues.random = ~0U;
	assert_int_equal(queues_victim(&queues, 10, 90), QUEUE_MAIN);
}

/* A miniature as a plain list a set. */
#define MINI_WAYS 31U
#define MINI_SETS 21U
struct mini_set {
	unsigned count;
	struct {
		u16 key;
		bool main;
	} keys[MINI_WAYS + 1];
};
static struct mini_set minis[RULES][MINI_SETS];

static void mini_remove(struct mini_set *set, unsigned place)
{
	memmove(&set->keys[place], &set->keys[place + 1],
		(MINI_WAYS - place) * sizeof(set->keys[0]));
	set->count--;
}

static bool mini_take(struct mini_set *set, u64 hash)
{
	for (unsigned i = 0; i < set->count; i++)
		if (set->keys[i].key == (u16)hash >> 1) {
			mini_remove(set, i);
			return true;
		}
	return false;
}

static void mini_add(struct mini_set *set, u64 hash, bool main, unsigned ways)
{
	unsigned small = 0;

	if (set->count == MINI_WAYS) {
		bool from_main;

		for (unsigned i = 0; i < set->count; i++)
			small += !set->keys[i].main;
		from_main = small < MINI_WAYS && small <= ways;
		for (unsigned i = 0; i < set->count; i++)
			if (set->keys[i].main == from_main) {
				mini_remove(set, i);
				break;
			}
	}
	set->keys[set->count].key = (u16)hash >> 1;
	set->keys[set->count++].main = main;
}

static void miniatures_match_a_model(void **state)
{
	static const unsigned ways[RULES] = {15, 31, 3};
	struct queues queues;
	u32 hits[RULES] = {0}, all = 0, switches = 0;

	(void)state;
	memset(minis, 0, sizeof(minis));
	queues_init(&queues);
	queues_adjust(NULL, &queues, 16 * MINI_SETS * MINI_WAYS);
	assert_int_equal(queues.sets, MINI_SETS);
	for (unsigned step = 0; step < 300000; step++) {
		/* 40 keys a set; all are in the sample. */
		u64 hash = random_word() % (MINI_SETS * 40) * (0xffffffffUL / (MINI_SETS * 40));
		u64 set = (hash & 0xffffffff) * MINI_SETS >> 32;
		enum departure last = random_word() % 3;
		bool keep = step / 1000 % 2;

		if (random_word() % 2) {
			queues_get(&queues, hash, keep);
			for (u32 rule = 0; rule < RULES; rule++)
				if (mini_take(&minis[rule][set], hash)) {
					hits[rule]++;
					all++;
					if (keep)
						mini_add(&minis[rule][set], hash, rule != RULE_FIFO,
							ways[rule]);
				}
		} else {
			bool chooses = queues.countdown == 1;
			u32 rule_before = queues.rule;

			queues_put(&queues, hash, last);
			for (u32 rule = 0; rule < RULES; rule++) {
				bool main = last != DEPARTURE_UNKNOWN && rule != RULE_FIFO;

				if (rule == RULE_FEW && last == DEPARTURE_EVICTED)
					main = queues.random < 1U << 30;
				mini_take(&minis[rule][set], hash);
				mini_add(&minis[rule][set], hash, main, ways[rule]);
			}
			if (chooses) {
				switches += queues.rule != rule_before;
				assert_true(
					hits[queues.rule] + MINI_SETS * MINI_WAYS / 64 >= hits[0] &&
					hits[queues.rule] + MINI_SETS * MINI_WAYS / 64 >= hits[1]);
				for (u32 rule = 0; rule < RULES; rule++)
					hits[rule] -= hits[rule] / 8;
			}
		}
		for (u32 rule = 0; rule < RULES; rule++)
			assert_int_equal(queues.hits[rule], hits[rule]);
	}
	assert_true(all > 50000);
	queues_destroy(NULL, &queues);
	assert_int_equal(pages_in_use, 0);
}

/*
 * A pool of 4,000 pages behind a guest's RAM of 1,000 is asked for a loop of 6,000 pages, and then
 * for each of an endless row of pages twice: first hits must come although first in, first out has
 * none, and then first in, first out must be chosen, which has them all.
 */
static void the_rule_follows_the_guest(void **state)
{
	enum { LOOP = 6000, POOL = 4000, RAM = 1000, ROW = 400000, PAGES = LOOP + ROW };
	static u8 where[PAGES]; /* 0 not in the pool, else queue plus 1 */
	static u32 fifo[QUEUES][4 * PAGES];
	u32 head[QUEUES] = {0}, tail[QUEUES] = {0};
	u64 small_main[QUEUES] = {0};
	unsigned hits[2] = {0}, gets[2] = {0};
	struct history history;
	struct queues queues;

	(void)state;
	memset(where, 0, sizeof(where));
	history_init(&history);
	queues_init(&queues);
	for (unsigned i = 0; i < 2 * ROW; i++) {
		bool second = i >= ROW;
		/* Page @i of the row and, 2,000 pages later, again; the guest's RAM is a delay. */
		unsigned n = i - ROW;
		u32 get = !second ? i % LOOP : LOOP + (n % 2 && n > 4000 ? n / 2 - 2000 : n / 2);
		u32 put = !second ? (i + LOOP - RAM) % LOOP : LOOP + (n > RAM ? (n - RAM) / 2 : 0);
		bool counts = second ? n > ROW / 2 && n % 2 : i > ROW / 2;
		u64 hash = (get + 1) * 0x9e3779b97f4a7c15UL;

		hash ^= hash >> 29;
		hash *= 0xbf58476d1ce4e5b9UL;
		hash ^= hash >> 32;
		queues_get(&queues, hash, false);
		gets[second] += counts;
		if (where[get]) {
			small_main[where[get] - 1]--;
			where[get] = 0;
			note(&history, hash, DEPARTURE_HIT);
			hits[second] += counts;
		}
		if (where[put] || (second && n % 2))
			continue;
		hash = (put + 1) * 0x9e3779b97f4a7c15UL;
		hash ^= hash >> 29;
		hash *= 0xbf58476d1ce4e5b9UL;
		hash ^= hash >> 32;
		if (i % 16 == 0) {
			history_adjust(NULL, &history, POOL + RAM);
			queues_adjust(NULL, &queues, small_main[0] + small_main[1]);
		}
		where[put] = (u8)(1 + queues_put(&queues, hash, recall(&history, hash)));
		fifo[where[put] - 1][tail[where[put] - 1]++] = put;
		small_main[where[put] - 1]++;
		while (small_main[0] + small_main[1] > POOL) {
			enum queue from = queues_victim(&queues, small_main[0], small_main[1]);
			u32 oldest;

			/* Hit pages are still in the array; their places are passed over. */
			do
				oldest = fifo[from][head[from]++];
			while (where[oldest] != from + 1);
			where[oldest] = 0;
			small_main[from]--;
			hash = (oldest + 1) * 0x9e3779b97f4a7c15UL;
			hash ^= hash >> 29;
			hash *= 0xbf58476d1ce4e5b9UL;
			hash ^= hash >> 32;
			note(&history, hash, DEPARTURE_EVICTED);
		}
		if (i == ROW - 1)
			assert_int_not_equal(queues.rule, RULE_FIFO);
	}
	assert_true(hits[0] > gets[0] / 4);
	assert_true(hits[1] > gets[1] * 98UL / 100);
	history_destroy(NULL, &history);
	queues_destroy(NULL, &queues);
	assert_int_equal(pages_in_use, 0);
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
		cmocka_unit_test_setup(without_memory_all_is_fifo, reset),
		cmocka_unit_test_setup(the_fuller_queue_gives_up_a_page, reset),
		cmocka_unit_test_setup(miniatures_match_a_model, reset),
		cmocka_unit_test_setup(the_rule_follows_the_guest, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
