/*
 * See one_pack.h.
 */
#include "tests/unit/tmem_host/one_pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/port.h"

struct tmem *tmem;
struct pack pack;
u32 ids[PAGES], pages;
u64 seed;
u8 data[PAGE_SIZE];

void start(u64 memory_pages, u32 count)
{
	const struct tmem_config config = {0};

	host_memory_init(memory_pages);
	tmem = tmem_create(&config);
	assert_non_null(tmem);
	pack_init(&pack, tmem, 0);
	seed = 1;
	pages = count;
	memset(ids, 0, sizeof(ids));
}

void visit_nothing(void *page, void *argument)
{
	(void)page;
	(void)argument;
}

void finish(void)
{
	assert_int_equal(pack_audit(&pack, visit_nothing, NULL), 0);
	for (u32 i = 0; i < PAGES; i++)
		if (ids[i])
			pack_free(&pack, ids[i]);
	assert_int_equal(pack.frames, 0);
	pack_destroy(&pack);
	tmem_destroy(tmem);
	assert_int_equal(host_pages_in_use(), 0);
	host_memory_exit();
}
void store_one(u32 i, u32 mean, u32 spread)
{
	u32 length = mean - spread + (u32)(host_random(&seed) % (2 * spread + 1));

	ids[i] = pack_store(&pack, EPHEMERAL, data, length, i);
	assert_int_not_equal(ids[i], 0);
}
