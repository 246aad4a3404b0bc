/*
 * What a client does beside storing pages, in the store and in the model (model_parts.h): pools and
 * seats at the shared one, caps and weights, reclaim, arguments that are wrong, and its end.
 */
#include "tests/unit/tmem_host/model_parts.h"

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <string.h>

/* Takes a seat at the shared pool, or gives it up; the pool itself stays. */
static bool step_seat(struct model *model, struct target *target)
{
	struct model_pool *pool = target->pool;
	u32 weight = model->config.weights[target->client_number];
	int result;

	if (pool->exists) {
		result = tmem_pool_destroy(target->client->client, pool->id);
		CHECK(result == 0, "leaving the shared pool: %d", result);
		pool->exists = false;
		owner_of(model)->weight -= weight;
		return true;
	}
	result = tmem_pool_create(target->client->client, TMEM_POOL_SHARED, 9, 9);
	if (result == -SLUICE_ENOMEM && !model->config.exact)
		return true;
	CHECK(result >= 0, "joining the shared pool: %d", result);
	pool->id = result;
	pool->exists = true;
	owner_of(model)->weight += weight;
	return true;
}

bool step_freeze(struct target *target)
{
	target->client->frozen = !target->client->frozen;
	tmem_client_freeze(target->client->client, target->client->frozen);
	return true;
}

bool step_pool(struct model *model, struct target *target)
{
	struct model_pool *pool = target->pool;
	struct tmem_client *client = target->client->client;
	struct tmem_client_stats before, after;
	u64 present = 0, off = 0;
	int result;

	/* Now and then without some of the modes. */
	if (has_modes(model) && !pool->exists && choose(model, 4) == 0)
		off = (u64)choose(model, 8) << TMEM_POOL_NO_SHIFT;
	if (target->pool_number == SHARED)
		return step_seat(model, target);
	if (!pool->exists) {
		pool->persistent = target->pool_number == 1;
		result = tmem_pool_create(client,
			(pool->persistent ? TMEM_POOL_PERSISTENT : 0) | off, model->seed, 0);
		if (result == -SLUICE_ENOMEM && !model->config.exact)
			return true;
		CHECK(result >= 0 && result < TMEM_POOLS_PER_GUEST, "pool create: %d", result);
		pool->id = result;
		pool->exists = true;
		pool->filtered = false;
		memset(pool->hashes, 0, sizeof(pool->hashes));
		return true;
	}
	if (!pool->dying) {
		for (u32 object = 0; object < OBJECTS; object++)
			for (u32 index = 0; index < INDICES; index++)
				present += pool->entries[object][index].seed != 0;
		/* Only the first step counts what was evicted before; the rest must fit. */
		tmem_client_stats(client, &before);
		do
			result = tmem_pool_destroy(client, pool->id);
		while (result == -SLUICE_EAGAIN && choose(model, 4));
		tmem_client_stats(client, &after);
		CHECK(after.flushed_pages - before.flushed_pages <= present,
			"destroy freed more pages than stored");
		if (result == 0) {
			target->client->evictions += present -
						     (after.flushed_pages - before.flushed_pages);
			forget_pool(target->client, pool);
			pool->exists = false;
			return true;
		}
		/* What is left goes without being looked at: see step_pool() below. */
		pool->dying = true;
	}
	tmem_client_stats(client, &before);
	do
		result = tmem_pool_destroy(client, pool->id);
	while (result == -SLUICE_EAGAIN);
	tmem_client_stats(client, &after);
	CHECK(result == 0, "pool destroy: %d", result);
	forget_pool(target->client, pool);
	pool->exists = false;
	pool->dying = false;
	/* How many of its pages had been evicted meanwhile is not known: take the store's counts.
	 */
	target->client->evictions = after.evictions;
	CHECK(model->config.exact || after.ephemeral_pages <= target->client->ephemeral,
		"the store has pages that the model has not");
	target->client->evictions -= target->client->ephemeral - after.ephemeral_pages;
	return true;
}

bool step_reclaim(struct model *model)
{
	u32 max = choose(model, 64) + 1;
	unsigned count = tmem_reclaim(model->tmem, model->reclaimed, max);

	CHECK(count <= max, "reclaim returned %u of %u pages", count, max);
	for (unsigned i = 0; i < count; i++) {
		CHECK(host_page_is_in_use(model->reclaimed[i]), "reclaimed a page that is free");
		memset(model->reclaimed[i], 0xee, PAGE_SIZE);
		tmem_port_free(model->reclaimed[i], 0);
	}
	return true;
}

bool step_bad_arguments(struct model *model, struct target *target)
{
	static const s32 bad[] = {-1, -16, 16, 17, 255, 0x7fffffff, -0x7fffffff - 1};
	struct tmem_client *client = target->client->client;
	s32 pool = bad[choose(model, ARRAY_SIZE(bad))];

	target->handle.pool = pool;
	CHECK(tmem_put(client, &target->handle, model->page) == -SLUICE_EBADF &&
			tmem_get(client, &target->handle, model->page) == -SLUICE_EBADF &&
			tmem_flush_page(client, &target->handle) == -SLUICE_EBADF &&
			tmem_flush_object(client, &target->handle) == -SLUICE_EBADF &&
			tmem_pool_destroy(client, pool) == -SLUICE_EBADF &&
			tmem_pool_destroy(client, 0x100000000L + target->pool->id) == -SLUICE_EBADF,
		"pool %d accepted", pool);
	CHECK(tmem_pool_create(client, TMEM_POOL_SHARED, 1, 2) == -SLUICE_EINVAL &&
			tmem_pool_create(client, 0x80UL << choose(model, 57), 0, 0) ==
				-SLUICE_EINVAL &&
			tmem_pool_create(client, 4UL << choose(model, 2), 0, 0) == -SLUICE_EINVAL,
		"bad flags accepted");
	return true;
}

bool step_restart(struct model *model, struct target *target)
{
	struct model_client *client = target->client;
	int result;

	do
		result = tmem_client_destroy(client->client);
	while (result == -SLUICE_EAGAIN);
	CHECK(result == 0, "client destroy: %d", result);
	if (client->pools[SHARED].exists)
		owner_of(model)->weight -= client->weight;
	for (u32 pool = 0; pool < POOLS; pool++) {
		forget_pool(client, &client->pools[pool]);
		client->pools[pool].exists = false;
		client->pools[pool].dying = false;
	}
	client->head = client->tail = 0;
	client->evictions = 0;
	CHECK(client->ephemeral == 0 && client->persistent == 0, "the model is wrong");
	host_allocations_until_failure = ~0UL;
	CHECK(create_client(model, target->client_number), "no client after one died");
	return true;
}

bool step_control(struct model *model, struct target *target)
{
	struct tmem_client *client = target->client->client;
	bool capped = choose(model, 4) == 0;
	u64 persistent_max = capped ? choose(model, 200) : model->config.persistent_max;
	u64 ephemeral_max = capped ? choose(model, 200) : TMEM_UNLIMITED;
	struct tmem_client_stats stats;
	int result;

	if (choose(model, 2)) {
		tmem_tick(model->tmem);
		return true;
	}
	CHECK(tmem_client_set_weight(client, choose(model, 65535) + 1) == 0, "a weight refused");
	do
		result = tmem_client_set_caps(client, persistent_max, ephemeral_max);
	while (result == -SLUICE_EAGAIN);
	CHECK(result == 0, "set caps: %d", result);
	tmem_client_stats(client, &stats);
	CHECK(stats.ephemeral_pages <= ephemeral_max, "%llu pages over a cap of %llu",
		(unsigned long long)stats.ephemeral_pages, (unsigned long long)ephemeral_max);
	return true;
}
