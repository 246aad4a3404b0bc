/*
 * The choice of queues for a client's pages, against a plain model with each miniature as a list:
 * who gives up a page, and that the rule follows the guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/metadata.h"
#include "tmem/queues.h"

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
			history_note(history_prefetch(&history, hash), hash, DEPARTURE_HIT);
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
		where[put] =
			(u8)(1 + queues_put(&queues, hash,
					 history_recall(history_prefetch(&history, hash), hash)));
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
			history_note(history_prefetch(&history, hash), hash, DEPARTURE_EVICTED);
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
		cmocka_unit_test_setup(without_memory_all_is_fifo, reset),
		cmocka_unit_test_setup(the_fuller_queue_gives_up_a_page, reset),
		cmocka_unit_test_setup(miniatures_match_a_model, reset),
		cmocka_unit_test_setup(the_rule_follows_the_guest, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
