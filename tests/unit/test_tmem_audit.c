/*
 * The audit of the tmem engine finds what it is there for: one thing in a sound store is made
 * wrong, of each kind that it compares, and it must say so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tmem/client.h"
#include "tmem/index.h"
#include "tmem/page_list.h"

static struct tmem *tmem;
static struct tmem_client *client;

/* Objects of one page and of many, in a pool of either kind; all of it sound. */
static void start(void)
{
	tmem = store_create(4096, 0);
	client = store_client(tmem, 1, ~0UL);
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 1);
	for (int pool = 0; pool < 2; pool++)
		for (u32 i = 0; i < 200; i++)
			assert_int_equal(put_seed(client, handle_of(pool, i / 50, i * 7), i), 0);
	for (u32 i = 0; i < 40; i++)
		assert_int_equal(put_seed(client, handle_of(0, 1000 + i, i), i), 0);
	assert_int_equal(store_audit(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

static void ignore(void *page, void *argument)
{
	(void)page;
	(void)argument;
}

/* The store is not used any more: its memory goes as a whole. */
static void must_be_found(const char *what)
{
	strcpy(host_last_complaint, "nothing");
	assert_int_equal(tmem_audit(tmem, ignore, NULL), -SLUICE_EINVAL);
	if (!host_complaints)
		fail_msg("%s: no complaint", what);
	host_memory_exit();
}

/* The record of the first object of the first pool that is @grouped or not. */
static struct object *object_that_is(unsigned grouped)
{
	const struct pool *pool = client->pools[0];

	for (u32 id = 1; id <= pool->objects.per_leaf; id++) {
		struct object *object = object_at(pool, id);

		if (object->first && object->grouped == grouped)
			return object;
	}
	fail_msg("no such object");
	return NULL;
}

static struct group *a_group(void)
{
	return group_at(client->pools[0], object_that_is(1)->first);
}

static struct page *oldest_page(void)
{
	return page_at(tmem, page_list_oldest(&client->lists[0]));
}

static struct block *a_block(void)
{
	return block_of(tmem, page_list_oldest(&client->lists[0]));
}

static void slot_both_free_and_used(void)
{
	u32 place = page_list_oldest(&client->lists[0]) % BLOCK_PAGES;

	a_block()->free[place / 64] |= 1UL << place % 64;
}
static void slot_absent_but_used(void)
{
	u32 place = page_list_oldest(&client->lists[0]) % BLOCK_PAGES;

	a_block()->absent[place / 64] |= 1UL << place % 64;
}
static void slot_of_a_client_that_is_not_there(void)
{
	oldest_page()->client = 9;
}
static void slot_of_no_client_at_all(void)
{
	oldest_page()->client = 0xffffffff;
}
static void block_that_counts_wrong(void)
{
	a_block()->free_count++;
}
static void page_in_no_block(void)
{
	object_that_is(0)->first = 1000U * BLOCK_PAGES;
}
static void page_of_another_pool(void)
{
	oldest_page()->next |= 5U << SLOT_BITS;
}
static void page_that_names_another_place(void)
{
	page_at(tmem, object_that_is(0)->first)->owner++;
}
static void page_at_another_index(void)
{
	object_that_is(0)->index ^= 1;
	client->pools[0]->recent_object = NULL;
	/* The object is found, and the page with it: what was written about it elsewhere differs.
	 */
	object_that_is(0)->key[1] ^= 1;
}
static void page_named_twice(void)
{
	struct group *group = a_group();

	for (u32 place = 0; place < GROUP_PAGES; place++)
		if (!group->places[place]) {
			group->places[place] = object_that_is(0)->first;
			group->count++;
			return;
		}
	fail_msg("a full group");
}
static void group_that_counts_wrong(void)
{
	a_group()->count++;
}
static void place_that_seems_sampled(void)
{
	a_group()->places[3] |= (u32)PLACE_SAMPLED;
}
static void object_that_counts_wrong(void)
{
	object_that_is(1)->groups++;
}
static void group_with_a_wrong_neighbour(void)
{
	a_group()->prev = 3;
}
static void object_under_another_key(void)
{
	object_that_is(1)->key[2] ^= 1;
	client->pools[0]->recent_object = NULL;
}
static struct pool *pool_after_a_lookup(void)
{
	struct pool *pool = client->pools[0];
	struct position position;

	pool_find(pool, object_that_is(1)->key, a_group()->number * GROUP_PAGES, &position);
	return pool;
}
static void sum_of_the_last_object(void)
{
	pool_after_a_lookup()->recent_sum++;
}
static void number_of_the_last_group(void)
{
	pool_after_a_lookup()->recent_number++;
}
static void mark_of_a_filter_that_is_not_there(void)
{
	client->pools[0]->filtered = true;
}
static void half_of_a_block_that_lies_elsewhere(void)
{
	client_block(client, page_list_oldest(&client->lists[0]));
	client->half.frames += PAGE_SIZE;
}
static void object_lost_from_its_table(void)
{
	client->pools[0]->object_table.entries--;
}
static void group_lost_from_its_table(void)
{
	client->pools[0]->group_table.entries++;
}
static void queue_with_a_wrong_link(void)
{
	struct page *page = page_at(tmem, oldest_page()->next & SLOT_MASK);

	page->prev = (page->prev & ~SLOT_MASK) | 7;
}
static void queue_that_ends_early(void)
{
	oldest_page()->next &= ~SLOT_MASK;
}
static void count_of_persistent_pages(void)
{
	client->stats.persistent_pages--;
}
static void count_of_the_store(void)
{
	tmem->persistent_held++;
}
static void frame_that_nobody_counted(void)
{
	tmem->arena.frames++;
}
static void metadata_that_nobody_has(void)
{
	tmem->arena.metadata_pages++;
}
static void slot_at_hand_that_is_used(void)
{
	assert_true(client->magazines[EPHEMERAL].count > 0);
	client->magazines[EPHEMERAL].slots[0] = page_list_oldest(&client->lists[0]);
}
static void slot_at_hand_twice(void)
{
	struct magazine *magazine = &client->magazines[EPHEMERAL];

	magazine->slots[magazine->count] = magazine->slots[0];
	magazine->count++;
}

static void every_planted_error_is_found(void **state)
{
#define PLANT(name)                                                                                \
	{                                                                                          \
#name, name                                                                        \
	}
	static const struct {
		const char *name;
		void (*plant)(void);
	} plants[] = {
		PLANT(slot_both_free_and_used),
		PLANT(slot_absent_but_used),
		PLANT(slot_of_a_client_that_is_not_there),
		PLANT(slot_of_no_client_at_all),
		PLANT(block_that_counts_wrong),
		PLANT(page_in_no_block),
		PLANT(page_of_another_pool),
		PLANT(page_that_names_another_place),
		PLANT(page_at_another_index),
		PLANT(page_named_twice),
		PLANT(group_that_counts_wrong),
		PLANT(group_with_a_wrong_neighbour),
		PLANT(place_that_seems_sampled),
		PLANT(object_that_counts_wrong),
		PLANT(object_under_another_key),
		PLANT(sum_of_the_last_object),
		PLANT(number_of_the_last_group),
		PLANT(mark_of_a_filter_that_is_not_there),
		PLANT(half_of_a_block_that_lies_elsewhere),
		PLANT(object_lost_from_its_table),
		PLANT(group_lost_from_its_table),
		PLANT(queue_with_a_wrong_link),
		PLANT(queue_that_ends_early),
		PLANT(count_of_persistent_pages),
		PLANT(count_of_the_store),
		PLANT(frame_that_nobody_counted),
		PLANT(metadata_that_nobody_has),
		PLANT(slot_at_hand_that_is_used),
		PLANT(slot_at_hand_twice),
	};
#undef PLANT

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(plants); i++) {
		start();
		plants[i].plant();
		must_be_found(plants[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_planted_error_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
