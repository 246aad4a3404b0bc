/*
 * The hash table of the tmem engine (tmem/table.h) by itself, with hashes that the test chooses: a
 * chain that grows where no key of a guest could make it grow, and what becomes of its entries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tmem/arena.h"
#include "tmem/table.h"

#define ENTRIES 400U

static struct tmem *tmem;
static struct slab lines;
static struct table table;
static u64 first_hash[ENTRIES]; /* under the first keys, by id */

/* Under any other keys than the first a good hash. */
static u64 rehash(const void *owner, const u64 keys[6], u32 id)
{
	(void)owner;
	return keys[0] ? hash_word(keys, id) : first_hash[id];
}

static bool is_id(const void *owner, const void *key, u32 id)
{
	(void)owner;
	return id == *(const u32 *)key;
}

static u32 find(u32 id)
{
	u32 found = table_find_part(
		&table, &table.now, rehash(NULL, table.now.keys, id), is_id, &id);

	if (!found && table_is_moving(&table))
		found = table_find_part(
			&table, &table.old, rehash(NULL, table.old.keys, id), is_id, &id);
	return found;
}

static bool is_known(void *argument, u32 id)
{
	(void)argument;
	return id < ENTRIES;
}

static void insert(u32 id)
{
	assert_int_equal(slab_reserve(tmem, &lines, TABLE_SPARE_LINES), 0);
	assert_int_equal(table_reserve(tmem, &table), 0);
	table_insert(tmem, &table, rehash(NULL, table.now.keys, id), id);
}

static int set_up(void **state)
{
	const u64 keys[6] = {0};

	(void)state;
	tmem = store_create(1024, 0);
	slab_init(&lines, sizeof(struct line));
	table_init(&table, &lines, keys, rehash, NULL);
	return tmem == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	table_destroy(tmem, &table);
	slab_destroy(tmem, &lines);
	return store_end(tmem) != 0 || host_complaints;
}

/* Sixteen buckets, of which the one that is split next has six lines: the table takes other keys in
 * place of the split, whatever entry comes just then. */
static void a_long_chain_is_not_split(void **state)
{
	const u32 buckets = 16, full = buckets * TABLE_LOAD_MAX, chain = 5 * LINE_PLACES + 1;
	u32 id = 1;

	(void)state;
	for (; id <= full; id++) {
		/* The rest first, so that the chain has its last line when a split is due. */
		first_hash[id] = id <= full - chain ? 1 + id % (buckets - 1) : 0;
		first_hash[id] |= (u64)id << 56;
		insert(id);
	}
	assert_int_equal(table.now.buckets, buckets);
	assert_int_equal(table.rekeys, 0);
	for (; id < ENTRIES; id++) {
		first_hash[id] = (u64)id << 56;
		insert(id);
		assert_int_equal(table.rekeys, 1);
		assert_int_equal(table.entries, id);
		for (u32 any = 1; any <= id; any++)
			assert_int_equal(find(any), any);
		assert_int_equal(table_check(&table, is_known, NULL), id);
	}
	assert_false(table_is_moving(&table));
	for (id = 1; id < ENTRIES; id++)
		table_remove(tmem, &table, rehash(NULL, table.now.keys, id), id);
	assert_int_equal(table.entries, 0);
}

/* Whether the two looks of a reader without the lock see that nothing has @hash. */
static bool looks_absent(u64 hash)
{
	const struct line *line = table_may_have(&table, hash);

	return !line || line_surely_lacks(line, hash);
}

/* Entries come and go at random, up and down in number: those that are there are never taken for
 * absent, and others hardly ever for present, neither at the first look nor at the second. */
static void looks_at_a_line_find_what_is_there(void **state)
{
	static bool there[ENTRIES];
	u64 random = 5, absent = 0, seen = 0, still_seen = 0;

	(void)state;
	for (u32 id = 1; id < ENTRIES; id++)
		first_hash[id] = host_random(&random);
	for (unsigned step = 0; step < 20000; step++) {
		u64 draw = host_random(&random);
		u32 id = 1 + (u32)(draw % (ENTRIES - 1));
		bool more = draw >> 40 & (step / 1000 % 2 ? 1 : 3);

		if (more && !there[id])
			insert(id);
		else if (!more && there[id])
			table_remove(tmem, &table, first_hash[id], id);
		there[id] = more;
		for (u32 any = 1; any < ENTRIES && step % 16 == 0; any++) {
			if (there[any]) {
				assert_non_null(table_may_have(&table, first_hash[any]));
				assert_false(looks_absent(first_hash[any]));
				assert_int_equal(find(any), any);
			} else {
				absent++;
				seen += table_may_have(&table, first_hash[any]) != NULL;
				still_seen += !looks_absent(first_hash[any]);
			}
		}
		if (step % 64 == 0)
			assert_int_not_equal(table_check(&table, is_known, NULL), ~0UL);
	}
	/* By chance: 5 of 64; 5 of 512 to 4,096, and chains. */
	assert_in_range(seen, 1, absent / 8);
	assert_in_range(still_seen, 0, absent / 25);
	for (u32 id = 1; id < ENTRIES; id++)
		if (there[id])
			table_remove(tmem, &table, first_hash[id], id);
	assert_int_equal(table.entries, 0);
	for (u32 bucket = 0; bucket < table.now.buckets; bucket++)
		assert_int_equal(table_line(&table.now, bucket)->present & ~1UL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			looks_at_a_line_find_what_is_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_chain_is_not_split, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
