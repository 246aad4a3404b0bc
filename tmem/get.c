/*
 * Gets (tmem/tmem.h): misses that take no lock, and the short ways of a page beside the one before
 * it, without a call but for the copy. Everything else is a jump to leave_any.c.
 */
#include "tmem/leave.h"

#include <abi/errno.h>

static __attribute__((noinline)) int end_get(
	struct tmem_client *client, struct pool *pool, void *page, u32 slot)
{
	tmem_port_copy(page, near_frame(client, slot));
	leave_end(client, pool);
	client_unlock(client);
	return 0;
}

/* A page in the recent group, of a pool that is near; as tmem_put(). */
static inline __attribute__((always_inline)) int get_recent(struct tmem_client *client,
	const struct tmem_handle *handle, void *page, struct pool *pool, bool aged)
{
	struct group *group = pool->recent_group;
	u32 place = handle->index % GROUP_PAGES;
	u32 slot = group->places[place];

	if (!unqueue_near(client, slot, aged))
		return get_slowly(client, handle, page);
	pool->counts.hits++;
	if (aged && likely(pool->aged))
		aging_get(client->aging, aging_hash(pool, pool->recent_sum, handle->index), true);
	if (unlikely(!leave_place(client, group, place, slot)))
		return end_get(client, pool, page, slot);
	tmem_port_copy(page, near_frame(client, slot));
	client_unlock(client);
	return 0;
}

static __attribute__((noinline)) int get_aged(
	struct tmem_client *client, const struct tmem_handle *handle, void *page, struct pool *pool)
{
	return get_recent(client, handle, page, pool, true);
}

/* Apart, so that the plain way pays for nothing of it. */
static __attribute__((noinline)) int get_uncommon(
	struct tmem_client *client, const struct tmem_handle *handle, void *page, struct pool *pool)
{
	if (pool_is_uncommonly_near(pool, handle->object, handle->index, POOL_AGED_OR_FILLED))
		return get_aged(client, handle, page, pool);
	return unlikely(pool->filtered) ? leave_filtered(client, handle, page, pool)
					: get_slowly(client, handle, page);
}

static __attribute__((noinline)) int get_locked(
	struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	struct pool *pool;
	u64 id;

	client_lock(client);
	id = (u32)handle->pool;
	if (unlikely(id >= TMEM_POOLS_PER_GUEST || !page))
		return get_slowly(client, handle, page);
	pool = called_pool(client, id);
	if (!pool_is_near(pool, handle->object, handle->index, POOL_PLAIN))
		return get_uncommon(client, handle, page, pool);
	return get_recent(client, handle, page, pool, false);
}

/* A look at the index without the lock ends with a miss if nothing was changed since its beginning.
 */
static inline __attribute__((always_inline)) int end_look(struct tmem_client *client,
	const struct tmem_handle *handle, void *page, struct pool *pool, u32 turns)
{
	if (unlikely(!client_look_holds(client, turns)))
		return get_locked(client, handle, page);
	pool_count_miss(pool);
	return -SLUICE_ENOENT;
}

/* The second look, at the tags of a line. */
static __attribute__((noinline)) int look_closely(struct tmem_client *client,
	const struct tmem_handle *handle, void *page, struct pool *pool, u64 hash, u32 turns)
{
	if (!line_surely_lacks(table_look(&pool->object_table.now, hash), hash))
		return get_locked(client, handle, page);
	return end_look(client, handle, page, pool, turns);
}

/*
 * A get of another object than the one before begins with a look without the lock. It is a miss if
 * the object is not there and nothing was changed while we looked. Of persistent pools' pages, and
 * where anything is special, a second look under the lock is worth it; misses of keys that are in a
 * sample have to be told. The pool may go away while it is read; its memory stays
 * (metadata_retire()).
 */
int tmem_get(struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	u64 id = (u32)handle->pool, hash;
	struct pool *pool;
	u32 turns;

	client_note_use(client);
	if (unlikely(id >= TMEM_POOLS_PER_GUEST))
		return get_locked(client, handle, page);
	/* If the object before is asked for again, a hit is likely. */
	if (READ_OPERAND(client->recent_words[id]) == handle->object[0])
		return get_locked(client, handle, page);
	turns = client_begin_look(client);
	pool = called_pool(client, id);
	if (unlikely(!page))
		return get_locked(client, handle, page);
	hash = pool_object_hash(pool, handle->object);
	if (unlikely(pool_long_sample(hash + pool->salt, handle->index) <=
		     READ_OPERAND(pool->lock_upto)))
		return get_locked(client, handle, page);
	if (unlikely(table_may_have(&pool->object_table, hash)))
		return look_closely(client, handle, page, pool, hash, turns);
	return end_look(client, handle, page, pool, turns);
}
