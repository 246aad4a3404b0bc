/*
 * See dense_store.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <abi/hypercall.h>

#include "tests/unit/tmem_host/dense_store.h"
#include "tests/unit/tmem_host/port.h"

struct tmem *tmem;
struct tmem_client *client;

void start(u64 memory_pages, u64 max_pages, u8 modes)
{
	struct tmem_client_config config = {.weight = 1,
		.persistent_max = ~0UL,
		.ephemeral_modes = modes,
		.persistent_modes = modes};

	tmem = store_create(memory_pages, max_pages);
	tmem_port_random(config.hash_keys, ARRAY_SIZE(config.hash_keys));
	client = tmem_client_create(tmem, &config);
	assert_non_null(client);
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), 0);
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 1);
}

void finish(void)
{
	assert_int_equal(store_audit(tmem), 0);
	store_end_client(client);
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

u64 frames(void)
{
	struct tmem_stats stats;

	tmem_stats(tmem, &stats);
	return stats.frames;
}
