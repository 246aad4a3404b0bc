/*
 * Pools of a client come and go (tmem/client.h), those of guests in steps.
 */
#include "tmem/client.h"

#include <abi/errno.h>

#include "tmem/shared.h"

/* The flags that switch modes off. */
#define NO_MODES (TMEM_POOL_NO_FILLED | TMEM_POOL_NO_DEDUP | TMEM_POOL_NO_COMPRESS)
_Static_assert(
	NO_MODES == (TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS) << TMEM_POOL_NO_SHIFT,
	"a flag a mode");
_Static_assert(TMEM_MODE_FILLED == TMEM_POOL_MODE_FILLED &&
		       TMEM_MODE_DEDUP == TMEM_POOL_MODE_DEDUP &&
		       TMEM_MODE_COMPRESS == TMEM_POOL_MODE_COMPRESS,
	"what a pool's information tells");

bool pool_flags_are_valid(u64 flags)
{
	return !(flags & ~(u64)(TMEM_POOL_PERSISTENT | NO_MODES));
}

/* What is called where there is no pool: a special one, whose gets take the lock. */
static const struct pool no_pool = {.dying = true, .lock_upto = ~0UL};

void client_set_pool(struct tmem_client *client, u32 id, struct pool *pool)
{
	__atomic_store_n(&client->pools[id], pool, __ATOMIC_RELEASE);
	__atomic_store_n(
		&client->called[id], pool ? pool : (struct pool *)&no_pool, __ATOMIC_RELEASE);
}

int client_add_pool(
	struct tmem_client *client, int id, u32 flags, const u64 uuid[2], const struct seat *seat)
{
	struct pool *pool;

	for (int any = 0; id < 0 && any < TMEM_POOLS_PER_GUEST; any++)
		if (!client->pools[any])
			id = any;
	if (id < 0)
		return -SLUICE_ENOSPC;
	if (client->pools[id])
		return -SLUICE_EBUSY;
	pool = pool_create(client, (u8)id, flags & TMEM_POOL_PERSISTENT, uuid);
	if (!pool)
		return -SLUICE_ENOMEM;
	pool->modes_off = (u8)((flags & NO_MODES) >> TMEM_POOL_NO_SHIFT);
	pool->modes &= (u8)~pool->modes_off;
	if (seat) {
		pool->shared = true;
		pool->seat = *seat;
	}
	special_set(client, pool);
	client->pools_end = MAX(client->pools_end, (u32)id + 1);
	client_set_pool(client, (u32)id, pool);
	return id;
}

int tmem_pool_create(struct tmem_client *client, u64 flags, u64 uuid_lo, u64 uuid_hi)
{
	const u64 uuid[2] = {uuid_lo, uuid_hi};
	int result = -SLUICE_EBUSY;

	if (flags & TMEM_POOL_SHARED)
		return flags == TMEM_POOL_SHARED ? shared_join(client, -1, uuid) : -SLUICE_EINVAL;
	if (!pool_flags_are_valid(flags))
		return -SLUICE_EINVAL;

	client_lock(client);
	if (!client->restore.phase)
		result = client_add_pool(client, -1, (u32)flags, uuid, NULL);
	client_unlock(client);
	return result;
}

void client_forget_pool(struct tmem_client *client, struct pool *pool)
{
	client_add_counts(&client->past[pool->persistent ? PERSISTENT : EPHEMERAL], pool);
	if (!pool->shared) {
		client->private_puts += pool->counts.puts + pool->counts.refusals;
		client->private_gets += pool_gets(pool);
	}
	client_filter_close(client, pool);
	client_set_pool(client, pool->id, NULL);
	pool_free(client->tmem, pool);
}

int client_destroy_pool(struct tmem_client *client, struct pool *pool, unsigned *pages)
{
	u32 object_id;

	WRITE_ONCE(pool->dying, true);
	pool_set_lock_upto(pool);
	while ((object_id = pool_any_object(pool)) != 0)
		if (!client_flush_object(client, pool, object_id, pages))
			return -SLUICE_EAGAIN;
	client_forget_pool(client, pool);
	return 0;
}

int tmem_pool_destroy(struct tmem_client *client, s64 id)
{
	unsigned pages = TMEM_STEP_PAGES;
	int result = -SLUICE_EBADF;
	struct pool *pool;
	bool shared;

	if (id < 0 || id >= TMEM_POOLS_PER_GUEST)
		return result;
	client_lock(client);
	pool = client->pools[id];
	if (pool && pool->hidden)
		pool = NULL;
	shared = pool && pool->shared;
	if (pool && !shared)
		result = client_destroy_pool(client, pool, &pages);
	client_unlock(client);
	return shared ? shared_leave(client, (u32)id) : result;
}

int client_drop_pools(struct tmem_client *client)
{
	unsigned pages = TMEM_STEP_PAGES;
	int result = 0;

	for (u32 id = 0; id < TMEM_POOLS_PER_GUEST && !result; id++) {
		struct pool *pool;
		bool shared;

		client_lock(client);
		pool = client->pools[id];
		shared = pool && pool->shared;
		if (pool && !shared)
			result = client_destroy_pool(client, pool, &pages);
		client_unlock(client);
		if (shared)
			result = shared_leave(client, id);
	}
	return result;
}
