/*
 * Page flip: a put takes over the frame that the page is in, a get gives away the one it lies in,
 * and nothing is copied (tmem/tmem.h). A frame that comes by itself gets a place in a block of
 * single frames, and from there it leaves; a page in a block that came whole is copied, so that the
 * block stays whole. Whatever is not a new page of a private pool, or a hit that removes one, is
 * left to the common operations. Guarded by the client's lock.
 */
#include <abi/errno.h>

#include "tmem/aging.h"
#include "tmem/dense.h"
#include "tmem/drop.h"

static enum tmem_class class_of(const struct pool *pool)
{
	return pool->persistent ? PERSISTENT : EPHEMERAL;
}

/* Where nothing but zeros and the like is stored in less than a frame, all others are stored as
 * they are. */
static bool pool_flips(const struct pool *pool)
{
	return pool && !READ_ONCE(pool->special) && !(pool->modes & ~TMEM_MODE_FILLED) &&
	       !pool->client->tmem->keys_only;
}

static bool may_be_filled(const void *page)
{
	const volatile u64 *words = page;

	return words[0] == words[1] && words[0] == words[PAGE_WORDS - 1];
}

/* Nothing is evicted for a page that would be refused. */
static bool has_room(const struct tmem_client *client, const struct pool *pool)
{
	return !pool->persistent ||
	       (READ_ONCE(client->stats.persistent_pages) < client->persistent_max &&
		       tmem_port_persistent_ok(READ_ONCE(client->tmem->persistent_held)));
}

bool tmem_flips_put(
	const struct tmem_client *client, const struct tmem_handle *handle, const void *page)
{
	const struct pool *pool = named_pool(client, handle->pool);

	return pool_flips(pool) && has_room(client, pool) && !(pool->modes && may_be_filled(page));
}

/* ---- Put ---------------------------------------------------------------------------- */

/* A slot in hand with @frame in it, for a page that is not stored yet: a new one, or in a full
 * store that of a page that goes. SLOT_NONE: the page has to be copied. May release the lock. */
static u32 place_frame(struct tmem_client *client, const struct tmem_handle *handle, void *frame)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;
	enum tmem_class class;
	u32 slot;

	if (!pool_flips(pool) || !has_room(client, pool))
		return SLOT_NONE;
	class = class_of(pool);
	slot = arena_attach(client->tmem, class, client->number, frame);
	if (slot != SLOT_NONE)
		return slot;
	/* A replacement goes where the page is: nothing is evicted for it. */
	if (pool_find(pool, handle->object, handle->index, &position))
		return SLOT_NONE;
	slot = client_take_slot(client, class);
	if (slot == SLOT_NONE)
		slot = evict_for(client, class);
	if (slot == SLOT_NONE || arena_exchange(client->tmem, slot, frame))
		return slot;
	/* Its frame is part of a block: for a copy. */
	client_give_slot(client, client_block(client, slot), page_at(client->tmem, slot), slot);
	return SLOT_NONE;
}

/* What a put left in hand; whether @frame is still in it, and so the caller's again. */
static bool give_back(struct tmem_client *client, u32 slot, const void *frame)
{
	struct block *block = block_of(client->tmem, slot);

	if (block_frame(block, slot) != frame) {
		client_give_slot(client, block, block_page(block, slot), slot);
		return false;
	}
	arena_detach(client->tmem, slot);
	return true;
}

int tmem_put_flip(
	struct tmem_client *client, const struct tmem_handle *handle, void *frame, bool *taken)
{
	int result = POOL_IS_SHARED;
	u32 slot;

	*taken = false;
	client_lock(client);
	slot = place_frame(client, handle, frame);
	if (slot != SLOT_NONE) {
		client_note_use(client);
		result = client_put_placed(client, handle, frame, &slot);
		client_sample_put(client, handle, result);
		*taken = slot == SLOT_NONE || !give_back(client, slot, frame);
		if (client->aging)
			aging_fit(client);
		if (client->filter_due)
			client_filter_work(client);
	}
	client_unlock(client);
	return result == POOL_IS_SHARED ? tmem_put(client, handle, frame) : result;
}

/* ---- Get ---------------------------------------------------------------------------- */

/* A page that a get takes out with its frame; NULL otherwise. */
static struct page *find_flippable(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position)
{
	struct block *block;

	if (!pool_flips(pool) || pool->persistent ||
		!pool_find(pool, handle->object, handle->index, position))
		return NULL;
	block = client_block(client, position->slot);
	return block->frames ? block_page(block, position->slot) : NULL;
}

/* A miss is found without the lock, and counted by tmem_get(). */
bool tmem_surely_misses(const struct tmem_client *client, const struct tmem_handle *handle)
{
	u32 turns = client_begin_look(client);
	struct pool *pool = named_pool(client, handle->pool);

	return !pool || (pool_surely_lacks(pool, pool_object_hash(pool, handle->object)) &&
				client_look_holds(client, turns));
}

bool tmem_flips_get(struct tmem_client *client, const struct tmem_handle *handle)
{
	struct position position;
	bool flips;

	if (tmem_surely_misses(client, handle))
		return false;
	client_lock(client);
	flips = find_flippable(client, named_pool(client, handle->pool), handle, &position) != NULL;
	client_unlock(client);
	return flips;
}

static void *take_frame(struct tmem_client *client, const struct tmem_handle *handle)
{
	struct pool *pool = named_pool(client, handle->pool);
	struct position position;
	struct page *page = find_flippable(client, pool, handle, &position);

	if (!page)
		return NULL;
	client_note_use(client);
	pool->counts.hits++;
	if (pool_samples(pool, pool->recent_sum, handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_GET);
	if (client->aging)
		aging_get(client->aging, aging_hash_at(pool, &position), true);
	client_drop_page(client, pool, &position, page);
	return arena_detach(client->tmem, position.slot);
}

int tmem_get_flip(
	struct tmem_client *client, const struct tmem_handle *handle, void *page, void **frame)
{
	*frame = NULL;
	if (!tmem_surely_misses(client, handle)) {
		client_lock(client);
		*frame = take_frame(client, handle);
		client_unlock(client);
	}
	return *frame ? 0 : tmem_get(client, handle, page);
}
