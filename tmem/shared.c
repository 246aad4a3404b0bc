/*
 * Shared ephemeral pools. The pages belong to an owner: a client of its own, with its own lock,
 * queue and place among those that are evicted from, whose weight is the sum of what its sharers
 * bring. Each sharer has a seat: a pool without pages that names the owner. A get keeps the page
 * and makes it the newest; a flush is for all; the pool goes when the last sharer has left.
 *
 * The sharers' lock guards who has a seat where: struct seat, and the owners' @sharers and @life.
 * It comes before clients' locks. Puts, gets and flushes do not take it: they read the seat under
 * the client's lock, release that, and hold the owner in place by its @calls, since no two locks of
 * clients may be held together.
 */
#include <string.h>

#include <abi/errno.h>

#include "tmem/shared.h"

/* ---- Coming and going --------------------------------------------------------------- */

/* The owner of the pool with @uuid that has sharers, or NULL. Sharers' lock. */
static struct tmem_client *find_owner(const struct tmem *tmem, const u64 uuid[2])
{
	for (u32 number = 0; number < READ_ONCE(tmem->client_count); number++) {
		struct tmem_client *owner = __atomic_load_n(
			&tmem->clients[number], __ATOMIC_ACQUIRE);

		/* An owner with sharers has its pool, and keeps it while the lock is held. */
		if (owner && READ_ONCE(owner->sharers) && owner->pools[0]->uuid[0] == uuid[0] &&
			owner->pools[0]->uuid[1] == uuid[1])
			return owner;
	}
	return NULL;
}

/* An owner with an empty pool and no sharers yet; NULL without memory or structures. */
static struct tmem_client *create_owner(struct tmem *tmem, const u64 uuid[2], u32 weight)
{
	struct tmem_client *owner = client_claim(tmem, weight, true);
	struct tmem_client_config config = {.weight = weight};
	int id;

	if (!owner)
		return NULL;
	tmem_port_random(config.hash_keys, ARRAY_SIZE(config.hash_keys));
	if (client_begin(owner, &config))
		return NULL;
	client_lock(owner);
	id = client_add_pool(owner, 0, 0, uuid, NULL);
	if (id < 0) {
		client_end(owner);
		return NULL;
	}
	owner->pools[0]->common = true;
	pool_set_lock_upto(owner->pools[0]);
	client_unlock(owner);
	return owner;
}

static const struct tmem_shared_grant *find_grant(
	const struct tmem_client *client, const u64 uuid[2])
{
	for (u32 i = 0; i < client->shared_count; i++)
		if (client->shared[i].uuid[0] == uuid[0] && client->shared[i].uuid[1] == uuid[1])
			return &client->shared[i];
	return NULL;
}

static bool has_seat(const struct tmem_client *client, const struct tmem_client *owner)
{
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++)
		if (client->pools[id] && client->pools[id]->seat.owner == owner &&
			!client->pools[id]->dying)
			return true;
	return false;
}

/* Takes a pool id for the seat. A guest with two seats would have twice the weight. */
static int take_seat(struct tmem_client *client, int id, const u64 uuid[2], const struct seat *seat)
{
	/* With an id it is the restore that asks. */
	bool hidden = id >= 0;
	int result = -SLUICE_EBUSY;

	client_lock(client);
	if (!has_seat(client, seat->owner) && hidden == (client->restore.phase != 0))
		result = client_add_pool(client, id, 0, uuid, seat);
	client_unlock(client);
	return result;
}

/* The owner's weight follows its sharers; it is never 0 while the owner lives. */
static void add_weight(struct tmem_client *owner, s64 weight)
{
	client_lock(owner);
	WRITE_ONCE(owner->weight, (u32)(owner->weight + weight));
	client_unlock(owner);
}

/* Frees pages of a pool that nobody shares any more; 0 once the owner is gone. Sharers' lock. */
static int end_owner(struct tmem_client *owner)
{
	unsigned pages = TMEM_STEP_PAGES;
	int result = 0;

	client_lock(owner);
	if (owner->pools[0])
		result = client_destroy_pool(owner, owner->pools[0], &pages);
	if (!result && owner->calls)
		result = -SLUICE_EAGAIN;
	if (result)
		client_unlock(owner);
	else
		client_end(owner);
	return result;
}

int shared_join(struct tmem_client *client, int id, const u64 uuid[2])
{
	const struct tmem_shared_grant *grant = find_grant(client, uuid);
	struct tmem *tmem = client->tmem;
	struct tmem_client *owner;
	struct seat seat;
	int result;

	if (!grant)
		return -SLUICE_EINVAL;
	tmem_port_lock(&tmem->sharers);
	owner = find_owner(tmem, uuid);
	seat.weight = grant->weight ? MIN(grant->weight, TMEM_WEIGHT_MAX) : 1;
	seat.owner = owner ? owner : create_owner(tmem, uuid, seat.weight);
	result = -SLUICE_ENOMEM;
	if (seat.owner) {
		seat.life = seat.owner->life;
		result = take_seat(client, id, uuid, &seat);
	}
	if (result >= 0) {
		WRITE_ONCE(seat.owner->sharers, seat.owner->sharers + 1);
		if (owner)
			add_weight(owner, seat.weight);
	} else if (seat.owner && !owner) {
		/* Made in vain: it is empty, so this takes one step. */
		(void)end_owner(seat.owner);
	}
	tmem_port_unlock(&tmem->sharers);
	return result;
}

/* The seat is given up; what it was worth goes with it. Sharers' lock. */
static int leave(struct tmem_client *client, u32 id)
{
	struct tmem_client *owner = NULL;
	bool is_leaving = false;
	struct pool *pool;
	u32 weight = 0;
	int result = -SLUICE_EBADF;

	client_lock(client);
	pool = client->pools[id];
	if (pool && pool->shared) {
		owner = pool->seat.owner;
		weight = pool->seat.weight;
		is_leaving = pool->dying;
		WRITE_ONCE(pool->dying, true);
	}
	client_unlock(client);
	if (!owner)
		return result;

	if (!is_leaving) {
		WRITE_ONCE(owner->sharers, owner->sharers - 1);
		/* The last one's weight stays until the structure is given back. */
		if (owner->sharers)
			add_weight(owner, -(s64)weight);
	}
	/* Only who was the last one can be leaving still. */
	result = owner->sharers ? 0 : end_owner(owner);
	if (result)
		return result;
	client_lock(client);
	client_forget_pool(client, client->pools[id]);
	client_unlock(client);
	return 0;
}

int shared_leave(struct tmem_client *client, u32 id)
{
	int result;

	tmem_port_lock(&client->tmem->sharers);
	result = leave(client, id);
	tmem_port_unlock(&client->tmem->sharers);
	return result;
}

/* ---- Operations --------------------------------------------------------------------- */

/* A call of a sharer, on its way in the owner's pool. */
struct visit {
	struct tmem_client *owner; /* its lock is held */
	struct tmem_handle handle; /* in the owner's terms */
	struct seat seat;
	bool frozen; /* the sharer is */
};

/* Locks the owner and keeps it in place; false if there is no such pool. */
static bool enter_owner(const struct seat *seat)
{
	struct tmem_client *owner = seat->owner;

	client_lock(owner);
	if (owner->life == seat->life && owner->alive && owner->pools[0]) {
		owner->calls++;
		client_note_use(owner);
		return true;
	}
	client_unlock(owner);
	return false;
}

static void leave_owner(struct tmem_client *owner)
{
	owner->calls--;
	client_unlock(owner);
}

/* Ends with the owner's lock held if it returns 0; -EBADF. @gets and @flushes count for the seat.
 */
static int begin(struct tmem_client *client, const struct tmem_handle *handle, struct visit *visit,
	unsigned gets, unsigned flushes)
{
	struct pool *pool;
	bool found;

	client_lock(client);
	pool = named_pool(client, handle->pool);
	found = pool && pool->shared && !pool->dying && !pool->hidden;
	if (found) {
		pool->counts.misses += gets; /* until end() knows better */
		pool->counts.flushes += flushes;
		visit->seat = pool->seat;
		visit->owner = pool->seat.owner;
		visit->frozen = pool->frozen;
	}
	client_unlock(client);
	if (!found || !enter_owner(&visit->seat))
		return -SLUICE_EBADF;
	visit->handle = *handle;
	visit->handle.pool = 0;
	return 0;
}

/* Counts for the seat what came of the call, if the seat is still there. */
static void end(struct tmem_client *client, const struct tmem_handle *handle,
	const struct visit *visit, const struct pool_counts *what)
{
	struct pool *pool;

	client_lock(client);
	pool = named_pool(client, handle->pool);
	if (pool && pool->shared && pool->seat.owner == visit->owner) {
		pool->counts.puts += what->puts;
		pool->counts.hits += what->hits;
		pool->counts.misses -= what->hits;
		pool->counts.refusals += what->refusals;
		pool->counts.replaced += what->replaced;
		pool->counts.dropped += what->dropped;
		pool->counts.flushed_pages += what->flushed_pages;
		if (what->refusals)
			client->stats.puts_refused++;
	}
	client_unlock(client);
}

int shared_put(struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	struct pool_counts what = {0};
	struct visit visit;
	int result = begin(client, handle, &visit, 0, 0);

	if (result)
		return result;
	if (visit.frozen) {
		what.dropped = client_drop_old(visit.owner, visit.owner->pools[0], &visit.handle);
		result = page ? -SLUICE_ENOSPC : -SLUICE_EFAULT;
	} else {
		result = client_put_shared(visit.owner, &visit.handle, page, &what);
	}
	leave_owner(visit.owner);
	what.puts = result == 0;
	what.refusals = result == -SLUICE_ENOSPC || result == -SLUICE_ENOMEM;
	end(client, handle, &visit, &what);
	return result;
}

int shared_get(struct tmem_client *client, const struct tmem_handle *handle, void *page)
{
	const struct pool_counts what = {.hits = 1};
	struct visit visit;
	int result = begin(client, handle, &visit, page != NULL, 0);

	if (result)
		return result;
	result = client_get(visit.owner, &visit.handle, page);
	leave_owner(visit.owner);
	if (!result)
		end(client, handle, &visit, &what);
	return result;
}

/* What a flush of a pool that one is leaving gets: nothing of it can be seen any more. */
static int flush_of_none(struct tmem_client *client, const struct tmem_handle *handle)
{
	struct pool *pool;
	bool dying;

	client_lock(client);
	pool = named_pool(client, handle->pool);
	dying = pool && pool->dying && !pool->hidden;
	client->stats.flushes++;
	client_unlock(client);
	return dying ? 0 : -SLUICE_EBADF;
}

/* @flush is done in the owner's pool, which releases no lock meanwhile. */
static int flush(struct tmem_client *client, const struct tmem_handle *handle,
	int (*flush_in)(struct tmem_client *owner, const struct tmem_handle *handle))
{
	struct pool_counts what = {0};
	struct visit visit;
	const struct pool *pool;
	u64 before;
	int result;

	if (begin(client, handle, &visit, 0, 1))
		return flush_of_none(client, handle);
	pool = visit.owner->pools[0];
	before = pool_flushed_pages(pool);
	result = flush_in(visit.owner, &visit.handle);
	what.flushed_pages = pool_flushed_pages(pool) - before;
	leave_owner(visit.owner);
	if (what.flushed_pages)
		end(client, handle, &visit, &what);
	return result;
}

int shared_flush_page(struct tmem_client *client, const struct tmem_handle *handle)
{
	return flush(client, handle, client_flush_page);
}

int shared_flush_object(struct tmem_client *client, const struct tmem_handle *handle)
{
	return flush(client, handle, client_flush_object_step);
}

void shared_counts(const struct seat *seat, u64 *pages, u64 *evictions)
{
	if (!enter_owner(seat))
		return;
	*pages = pool_pages(seat->owner->pools[0]);
	*evictions = seat->owner->pools[0]->counts.evictions;
	leave_owner(seat->owner);
}
