/*
 * Pages that need no frame of their own: filled, equal and compressed ones. What they cost, that
 * they come back right, that eviction and reclaim find frames behind them, and that only the
 * engine's own copy decides. The random test (test_tmem_model.c) plays all modes mixed.
 */
#define _GNU_SOURCE /* REG_EFL */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tmem/dense.h"

static struct tmem *tmem;
static struct tmem_client *client;
static void *taken[32];

/* One client with pool 0 ephemeral and pool 1 persistent. */
static void start(u64 memory_pages, u64 max_pages, u8 modes)
{
	struct tmem_client_config config = {.weight = 1,
		.persistent_max = ~0UL,
		.ephemeral_modes = modes,
		.persistent_modes = modes};

	tmem = store_create(memory_pages, max_pages);
	for (unsigned i = 0; i < ARRAY_SIZE(config.hash_keys); i++)
		config.hash_keys[i] = tmem_port_random();
	client = tmem_client_create(tmem, &config);
	assert_non_null(client);
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 1);
}

static void finish(void)
{
	assert_int_equal(store_audit(tmem), 0);
	store_end_client(client);
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

static u64 frames(void)
{
	struct tmem_stats stats;

	tmem_stats(tmem, &stats);
	return stats.frames;
}

static void filled_pages_cost_no_frame(void **state)
{
	u64 before;

	(void)state;
	start(4096, 0, TMEM_MODE_FILLED);
	assert_int_equal(put_seed(client, handle_of(0, 9, 9), 9), 0);
	before = frames();
	for (u32 index = 0; index < 3000; index++)
		assert_int_equal(put_seed(client, handle_of(index & 1, 1, index),
					 KIND(HOST_PAGE_FILLED, index)),
			0);
	assert_int_equal(frames(), before);
	assert_int_equal(stats_of(client).dense_pages, 3000);
	assert_int_equal(stats_of(client).dense_frames, 0);
	assert_int_equal(store_audit(tmem), 0);
	for (u32 index = 0; index < 3000; index++)
		assert_int_equal(get_seed(client, handle_of(index & 1, 1, index),
					 KIND(HOST_PAGE_FILLED, index)),
			0);
	finish();
}

/* Of index @i: of four in a row some are ordinary, some full of one word, and some look so at a
 * glance. */
static void fill_alternating(u64 *words, u32 i)
{
	static const u8 kinds[] = {0, 0, 0, 1, 0, 1, 1, 2, 2, 0, 2, 1};
	u8 kind = kinds[i / 4 % ARRAY_SIZE(kinds)];

	host_fill_page(words, kind ? KIND(HOST_PAGE_FILLED, i) : i + 1);
	if (kind == 2)
		words[i % 500 + 2] ^= 1;
}

static u64 alternating_page[PAGE_WORDS], got_page[PAGE_WORDS];

static void put_alternating(int pool, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		const struct tmem_handle handle = handle_of(pool, i / 96, i % 96);

		fill_alternating(alternating_page, i);
		assert_int_equal(tmem_put(client, &handle, alternating_page), 0);
	}
	assert_int_equal(store_audit(tmem), 0);
}

/* The common way of puts copies a page before it glances at it, or glances first: it must not
 * matter which, nor whether the page is the first of its group. */
static void ordinary_and_filled_pages_alternate(void **state)
{
	const u32 count = 1152;

	(void)state;
	for (unsigned aged = 0; aged < 2; aged++) {
		store_guest_pages = aged ? 2000 : 0;
		store_modes = TMEM_MODE_FILLED;
		tmem = store_create(8192, 0);
		client = store_client(tmem, 1, ~0UL);
		assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
		for (unsigned round = 0; round < 3; round++) {
			put_alternating(0, count);
			assert_int_equal(stats_of(client).filled_pages, count / 3);
			for (u32 i = 0; i < count; i++) {
				const struct tmem_handle handle = handle_of(0, i / 96, i % 96);

				fill_alternating(alternating_page, i);
				assert_int_equal(tmem_get(client, &handle, got_page), 0);
				assert_memory_equal(got_page, alternating_page, PAGE_SIZE);
			}
			assert_int_equal(store_audit(tmem), 0);
		}
		/* Persistent ones are admitted before they are copied. */
		assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 1);
		put_alternating(1, count);
		assert_int_equal(stats_of(client).filled_pages, count / 3);
		assert_int_equal(tmem_persistent_held(tmem), count);
		store_end_client(client);
		assert_int_equal(store_end(tmem), 0);
		/* Where the store is full, slots come by eviction. */
		tmem = store_create(8192, 500);
		client = store_client(tmem, 1, ~0UL);
		assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
		for (unsigned round = 0; round < 2; round++)
			put_alternating(0, count);
		assert_true(stats_of(client).evictions > 500);
		finish();
	}
	store_guest_pages = store_modes = 0;
}

#define ROW 600U /* pages: more than a block */

/* Puts a row of pages as object @object: from @first on up or down, each @odd-th with another last
 * word (0: none). */
static void put_row(int pool, u64 object, u32 first, int step, u32 odd)
{
	static u64 page[PAGE_SIZE / sizeof(u64)] __aligned_to(64);

	for (u32 i = 0; i < ROW; i++) {
		struct tmem_handle handle = handle_of(pool, object, i);

		host_fill_page(page, first + (u64)(step * (int)i));
		if (odd && i % odd == 0)
			page[ARRAY_SIZE(page) - 1] ^= 1 + object;
		assert_int_equal(tmem_put(client, &handle, page), 0);
	}
}

static void get_row(int pool, u64 object, u32 first, int step, u32 odd)
{
	static u64 page[PAGE_SIZE / sizeof(u64)] __aligned_to(64), got[ARRAY_SIZE(page)];

	for (u32 i = 0; i < ROW; i++) {
		struct tmem_handle handle = handle_of(pool, object, i);

		host_fill_page(page, first + (u64)(step * (int)i));
		if (odd && i % odd == 0)
			page[ARRAY_SIZE(page) - 1] ^= 1 + object;
		assert_int_equal(tmem_get(client, &handle, got), 0);
		assert_memory_equal(got, page, PAGE_SIZE);
	}
}

/* Pages that are equal to stored ones in a row are compared with what is expected: it does not
 * matter whether that is right, differs in its last word, or has gone, or is of the other class. */
static void rows_of_equal_pages_are_stored_once(void **state)
{
	const u32 first = 1000, last = first + ROW - 1;
	unsigned count;

	(void)state;
	for (int pool = 0; pool < 2; pool++) {
		start(8192, 0, TMEM_MODE_DEDUP);
		put_row(pool, 1, first, 1, 0);
		put_row(1 - pool, 1, first, 1, 0);
		assert_int_equal(stats_of(client).dense_pages, 0);
		put_row(pool, 2, first, 1, 0);
		put_row(pool, 3, last, -1, 0);
		assert_int_equal(stats_of(client).dense_pages, 3 * ROW);
		assert_int_equal(stats_of(client).dense_frames, ROW);
		put_row(pool, 4, first, 1, 70);
		put_row(pool, 5, first, 1, 2);
		assert_int_equal(stats_of(client).dense_frames, ROW);
		assert_int_equal(store_audit(tmem), 0);

		/* The row of content ends at each place once. */
		for (u32 i = 0; i < ROW; i += 3) {
			struct tmem_handle next = handle_of(pool, 1, i + 1);

			assert_int_equal(put_seed(client, handle_of(pool, 6, i), first + i), 0);
			assert_int_equal(tmem_flush_page(client, &next), 0);
			next.object[0] = 2;
			assert_int_equal(tmem_flush_page(client, &next), 0);
			next.object[0] = 3;
			next.index = ROW - 2 - i;
			assert_int_equal(tmem_flush_page(client, &next), 0);
		}
		put_row(pool, 1, first, 1, 0);
		put_row(pool, 2, first, 1, 0);
		put_row(pool, 3, last, -1, 0);
		assert_int_equal(store_audit(tmem), 0);
		get_row(pool, 2, first, 1, 0);
		get_row(pool, 4, first, 1, 70);
		get_row(pool, 1, first, 1, 0);
		get_row(pool, 5, first, 1, 2);
		get_row(pool, 3, last, -1, 0);
		get_row(1 - pool, 1, first, 1, 0);

		/* What is expected next goes with its block. */
		put_row(pool, 1, first, 1, 0);
		put_row(pool, 2, first, 1, 0);
		for (u64 object = 0; object < 7; object++)
			for (int in = 0; in < 2; in++) {
				const struct tmem_handle handle = handle_of(in, object, 0);

				while (tmem_flush_object(client, &handle) == -SLUICE_EAGAIN)
					;
			}
		while ((count = tmem_reclaim(tmem, taken, 32)) != 0)
			while (count)
				tmem_port_free(taken[--count], 0);
		assert_int_equal(frames(), 0);
		put_row(pool, 2, last, -1, 0);
		assert_int_equal(store_audit(tmem), 0);
		finish();
	}
}

static void equal_pages_are_stored_once(void **state)
{
	(void)state;
	start(4096, 0, TMEM_MODE_DEDUP);
	for (u32 index = 0; index < 800; index++)
		assert_int_equal(
			put_seed(client, handle_of(1, 1, index), KIND(HOST_PAGE_REPEATED, index)),
			0);
	assert_int_equal(stats_of(client).dense_frames, 8);
	assert_int_equal(stats_of(client).dense_pages, 800);
	assert_int_equal(store_audit(tmem), 0);
	/* A copy on replace: the others keep what they had. */
	assert_int_equal(put_seed(client, handle_of(1, 1, 8), 12345), 0);
	for (u32 index = 0; index < 800; index++)
		assert_int_equal(get_seed(client, handle_of(1, 1, index),
					 index == 8 ? 12345 : KIND(HOST_PAGE_REPEATED, index)),
			0);
	/* The frame goes with the last page that has it. */
	for (u32 index = 0; index < 800; index++) {
		struct tmem_handle handle = handle_of(1, 1, index);

		assert_int_equal(tmem_flush_page(client, &handle), 0);
	}
	assert_int_equal(stats_of(client).dense_frames, 0);
	finish();
}

/* Ephemeral and persistent pages do not share: one kind may go at any time. */
static void classes_do_not_share(void **state)
{
	(void)state;
	start(4096, 0, TMEM_MODE_DEDUP);
	assert_int_equal(put_seed(client, handle_of(0, 1, 1), 7), 0);
	assert_int_equal(put_seed(client, handle_of(1, 1, 1), 7), 0);
	assert_int_equal(stats_of(client).dense_pages, 0);
	assert_int_equal(put_seed(client, handle_of(1, 1, 2), 7), 0);
	assert_int_equal(stats_of(client).dense_pages, 2);
	finish();
}

static void compressed_pages_need_fewer_frames(void **state)
{
	(void)state;
	start(8192, 0, TMEM_MODE_COMPRESS);
	for (u32 index = 0; index < 3000; index++)
		assert_int_equal(put_seed(client, handle_of(1, 1, index),
					 KIND(HOST_PAGE_COMPRESSIBLE, index)),
			0);
	assert_int_equal(stats_of(client).dense_pages, 3000);
	assert_in_range(stats_of(client).dense_frames, 1, 3000 / 2);
	for (u32 index = 0; index < 3000; index++)
		assert_int_equal(get_seed(client, handle_of(1, 1, index),
					 KIND(HOST_PAGE_COMPRESSIBLE, index)),
			0);
	finish();
}

/* A full pool of compressed pages holds more pages than it has frames, whatever is evicted. */
static void a_full_pool_stays_dense(void **state)
{
	u32 hits = 0;

	(void)state;
	start(4096, 512, TMEM_MODE_COMPRESS);
	for (u32 index = 0; index < 5000; index++)
		assert_int_equal(put_seed(client, handle_of(0, 1, index),
					 KIND(HOST_PAGE_COMPRESSIBLE, index)),
			0);
	assert_true(frames() <= 512);
	assert_true(ephemeral_pages(client) > 1024);
	assert_int_equal(store_audit(tmem), 0);
	for (u32 index = 0; index < 5000; index++)
		hits += get_seed(client, handle_of(0, 1, index),
				KIND(HOST_PAGE_COMPRESSIBLE, index)) == 0;
	assert_true(hits > 1024);
	finish();
}

/* Pages of all kinds in a store that is full: what is evicted makes room for what comes. */
static void kinds_displace_each_other(void **state)
{
	(void)state;
	start(4096, 300, TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS);
	for (u32 index = 0; index < 6000; index++)
		assert_int_equal(put_seed(client, handle_of(0, 1, index),
					 KIND(index % HOST_PAGE_KINDS, index)),
			0);
	assert_true(frames() <= 300);
	assert_int_equal(store_audit(tmem), 0);
	/* Persistent pages take all that ephemeral ones have. Behind the last frames stand hundreds
	 * of equal pages each: a put does bounded work, and the next one goes on. */
	for (u32 index = 0; index < 300; index++) {
		int result = -SLUICE_ENOMEM;

		for (u32 tries = 0; tries < 4 && result; tries++)
			result = put_seed(client, handle_of(1, 1, index), index);
		assert_int_equal(result, 0);
	}
	assert_int_equal(put_seed(client, handle_of(1, 2, 1), 1000), -SLUICE_ENOMEM);
	for (u32 index = 0; index < 300; index++)
		assert_int_equal(get_seed(client, handle_of(1, 1, index), index), 0);
	finish();
}

static void reclaim_finds_frames_behind_dense_pages(void **state)
{
	unsigned count;
	u64 total = 0;

	(void)state;
	start(4096, 0, TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS);
	for (u32 index = 0; index < 4000; index++)
		assert_int_equal(put_seed(client, handle_of(index % 3 == 0, 1, index),
					 KIND(index % HOST_PAGE_KINDS, index)),
			0);
	while ((count = tmem_reclaim(tmem, taken, 32)) != 0) {
		total += count;
		for (unsigned i = 0; i < count; i++)
			tmem_port_free(taken[i], 0);
		assert_int_equal(store_audit(tmem), 0);
	}
	assert_true(total > 500);
	/* Nothing persistent is lost. */
	for (u32 index = 0; index < 4000; index += 3)
		assert_int_equal(get_seed(client, handle_of(1, 1, index),
					 KIND(index % HOST_PAGE_KINDS, index)),
			0);
	finish();
}

static u8 guest_page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
static unsigned copies, changed_at;

/* The guest changes its page before the engine's first or second copy. */
static void change_page(void *to, const void *from)
{
	(void)to;
	(void)from;
	if (copies++ == changed_at)
		host_fill_page(guest_page, 99);
}

static void only_the_own_copy_decides(void **state)
{
	const struct tmem_handle handle = handle_of(1, 1, 1);
	const u8 modes[] = {TMEM_MODE_FILLED, TMEM_MODE_DEDUP, TMEM_MODE_COMPRESS};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(modes) * 2; i++) {
		u64 seed = KIND(i < 2 ? HOST_PAGE_FILLED : HOST_PAGE_COMPRESSIBLE, 3);

		start(4096, 0, modes[i / 2]);
		host_fill_page(guest_page, seed);
		copies = 0;
		changed_at = i % 2;
		host_copy_hook = change_page;
		assert_int_equal(tmem_put(client, &handle, guest_page), 0);
		host_copy_hook = NULL;
		/* A page that is filled is read, once, and not copied; one that is hashed is copied
		 * by what hashes it, and not again. */
		assert_int_equal(get_seed(client, handle, i < 4 || changed_at ? seed : 99), 0);
		finish();
	}
}

#define TRAP_FLAG 0x100

/* An access to the guest's page: it may be made, and nothing more. */
static void let_through(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)signal;
	if ((u8 *)info->si_addr < guest_page || (u8 *)info->si_addr >= guest_page + PAGE_SIZE)
		abort();
	mprotect(guest_page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	user->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

/* After it every word is another one. */
static void change_all(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	u64 *words = (u64 *)guest_page;

	(void)signal;
	(void)info;
	for (u64 i = 0; i < PAGE_WORDS; i++)
		words[i] = words[i] * 3 + i;
	mprotect(guest_page, PAGE_SIZE, PROT_NONE);
	user->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* A guest that changes the whole page after each single look at it. Whatever came into the store,
 * its hash is noted with it: the same page put again is found. */
static void what_is_hashed_is_what_is_stored(void **state)
{
	static u8 stored[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	const struct sigaction on_fault = {.sa_sigaction = let_through, .sa_flags = SA_SIGINFO};
	const struct sigaction on_step = {.sa_sigaction = change_all, .sa_flags = SA_SIGINFO};
	struct sigaction old_fault, old_step;

	(void)state;
	start(8192, 0, TMEM_MODE_DEDUP);
	host_fill_page(guest_page, 7);
	assert_int_equal(sigaction(SIGSEGV, &on_fault, &old_fault), 0);
	assert_int_equal(sigaction(SIGTRAP, &on_step, &old_step), 0);
	for (u32 round = 0; round < 8; round++) {
		const struct tmem_handle first = handle_of(1, 1, round);
		const struct tmem_handle second = handle_of(1, 2, round);

		mprotect(guest_page, PAGE_SIZE, PROT_NONE);
		assert_int_equal(tmem_put(client, &first, guest_page), 0);
		mprotect(guest_page, PAGE_SIZE, PROT_READ | PROT_WRITE);
		assert_int_equal(tmem_get(client, &first, stored), 0);
		assert_int_equal(tmem_put(client, &second, stored), 0);
		assert_int_equal(stats_of(client).equal_found, round + 1);
	}
	sigaction(SIGSEGV, &old_fault, NULL);
	sigaction(SIGTRAP, &old_step, NULL);
	finish();
}

/* Records of filled pages are bounded by the frames that the store has. */
static void filled_pages_are_not_for_free(void **state)
{
	struct tmem_stats stats;

	(void)state;
	start(8192, 1024, TMEM_MODE_FILLED);
	assert_int_equal(put_seed(client, handle_of(0, 9, 9), 9), 0);
	for (u32 index = 0; index < 200000; index++)
		assert_int_equal(
			put_seed(client, handle_of(0, index, 0), KIND(HOST_PAGE_FILLED, 0)), 0);
	tmem_stats(tmem, &stats);
	assert_true(stats.metadata_bytes < 1024 * 1024);
	assert_true(stats.frames <= 1024);
	finish();
}

static void visit_nothing(void *page, void *argument)
{
	(void)page;
	(void)argument;
}

/* One more is counted at @count than there is; all was sound before, and is again afterwards. */
#define FINDS(count)                                                                               \
	do {                                                                                       \
		(count)++;                                                                         \
		host_complaints = 0;                                                               \
		if (!tmem_audit(tmem, visit_nothing, NULL) || !host_complaints)                    \
			fail_msg("%s is not found", #count);                                       \
		(count)--;                                                                         \
		host_complaints = 0;                                                               \
		assert_int_equal(store_audit(tmem), 0);                                            \
	} while (0)

static void the_audit_finds_what_is_wrong(void **state)
{
	struct dense *dense;

	(void)state;
	start(4096, 0, TMEM_MODE_DEDUP);
	for (u32 index = 0; index < 100; index++)
		assert_int_equal(put_seed(client, handle_of(0, 1, index), index % 50), 0);
	dense = client->dense;
	FINDS(dense->shared_frames[EPHEMERAL]);
	FINDS(dense->pages[EPHEMERAL]);
	FINDS(dense->contents[EPHEMERAL].entries);
	FINDS(client->dense_frames[EPHEMERAL]);
	FINDS(shared_at(&dense->shared, slab_first_place(sizeof(struct shared_content)))->refs);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filled_pages_cost_no_frame),
		cmocka_unit_test(ordinary_and_filled_pages_alternate),
		cmocka_unit_test(rows_of_equal_pages_are_stored_once),
		cmocka_unit_test(equal_pages_are_stored_once),
		cmocka_unit_test(classes_do_not_share),
		cmocka_unit_test(compressed_pages_need_fewer_frames),
		cmocka_unit_test(a_full_pool_stays_dense),
		cmocka_unit_test(kinds_displace_each_other),
		cmocka_unit_test(reclaim_finds_frames_behind_dense_pages),
		cmocka_unit_test(only_the_own_copy_decides),
		cmocka_unit_test(what_is_hashed_is_what_is_stored),
		cmocka_unit_test(filled_pages_are_not_for_free),
		cmocka_unit_test(the_audit_finds_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
