/*
 * Helpers of the tests of the tmem engine (tests/unit/tmem_host/store.h).
 */
#include "tests/unit/tmem_host/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "tests/unit/tmem_host/port.h"

u8 store_modes;
u64 store_guest_pages;

static u8 buffer[PAGE_SIZE] __aligned_to(PAGE_SIZE);

struct tmem *store_create(u64 memory_pages, u64 max_pages)
{
	struct tmem_config config = {.max_pages = max_pages};

	host_memory_init(memory_pages);
	return tmem_create(&config);
}

struct tmem_client *store_client(struct tmem *tmem, u32 weight, u64 persistent_max)
{
	struct tmem_client_config config = {.weight = weight,
		.persistent_max = persistent_max,
		.guest_pages = store_guest_pages,
		.ephemeral_modes = store_modes,
		.persistent_modes = store_modes};

	tmem_port_random(config.hash_keys, ARRAY_SIZE(config.hash_keys));
	return tmem_client_create(tmem, &config);
}

struct tmem_client *store_client_with_pool(struct tmem *tmem, u64 flags)
{
	struct tmem_client *client = store_client(tmem, 1, ~0UL);

	assert_non_null(client);
	assert_int_equal(tmem_pool_create(client, flags, 0, 0), 0);
	return client;
}

void store_end_client(struct tmem_client *client)
{
	while (tmem_client_destroy(client) == -SLUICE_EAGAIN)
		;
}

u64 store_end(struct tmem *tmem)
{
	u64 left;

	tmem_destroy(tmem);
	left = host_pages_in_use();
	host_memory_exit();
	return left;
}

void store_finish(struct tmem *tmem)
{
	assert_int_equal(store_end(tmem), 0);
	assert_int_equal(host_complaints, 0);
}

static void count_page(void *page, void *argument)
{
	*(u64 *)argument += host_page_is_in_use(page);
}

int store_audit(struct tmem *tmem)
{
	u64 visited = 0;

	if (tmem_audit(tmem, count_page, &visited))
		return -1;
	return visited == host_pages_in_use() ? 0 : -1;
}

struct tmem_handle handle_of(int pool, u64 object, u32 index)
{
	return (struct tmem_handle){{object, 0, 0}, index, pool};
}

int put_seed(struct tmem_client *client, struct tmem_handle handle, u64 seed)
{
	host_fill_page(buffer, seed);
	return tmem_put(client, &handle, buffer);
}

int get_seed(struct tmem_client *client, struct tmem_handle handle, u64 seed)
{
	int result = tmem_get(client, &handle, buffer);

	return result ? result : !host_page_holds(buffer, seed);
}

struct tmem_client_stats stats_of(const struct tmem_client *client)
{
	struct tmem_client_stats stats;

	tmem_client_stats(client, &stats);
	return stats;
}

u64 ephemeral_pages(const struct tmem_client *client)
{
	return stats_of(client).ephemeral_pages;
}

u64 persistent_pages(const struct tmem_client *client)
{
	return stats_of(client).persistent_pages;
}
