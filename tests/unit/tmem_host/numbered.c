/*
 * See numbered.h.
 */
#include "tests/unit/tmem_host/numbered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct tmem *tmem;

void start(u64 frames)
{
	tmem = store_create(8 * frames, frames);
	assert_non_null(tmem);
}

struct tmem_client *join(u8 modes, u64 pool_flags)
{
	struct tmem_client *client;

	store_modes = modes;
	client = store_client(tmem, 1, ~0UL);
	store_modes = 0;
	assert_non_null(client);
	assert_int_equal(tmem_pool_create(client, pool_flags, 0, 0), 0);
	return client;
}

void finish(struct tmem_client *first, struct tmem_client *second)
{
	assert_int_equal(store_audit(tmem), 0);
	store_end_client(first);
	if (second)
		store_end_client(second);
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

struct tmem_handle page(u64 number)
{
	return handle_of(0, number / 64, (u32)(number % 64));
}

u64 frames(void)
{
	struct tmem_stats stats;

	tmem_stats(tmem, &stats);
	return stats.frames;
}

u64 fill(struct tmem_client *client, enum host_page_kind kind, u64 max)
{
	u64 count = 0;

	while (count < max && !put_seed(client, page(count), KIND(kind, count + 1)))
		count++;
	return count;
}

unsigned reclaim(void)
{
	void *taken[32];
	unsigned count = tmem_reclaim(tmem, taken, ARRAY_SIZE(taken));

	for (unsigned i = 0; i < count; i++)
		tmem_port_free(taken[i], 0);
	return count;
}
