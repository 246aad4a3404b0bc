/*
 * A new page of a pool whose pages are looked at (tmem/put.h): it gets a virtual slot if a content
 * is found for it (dense.h), else a frame of its own.
 */
#include "tmem/put.h"

#include <abi/errno.h>

#include "tmem/dense.h"
#include "tmem/evict.h"

/* Stores a page in a virtual slot, with a content that dense_place() found. -ENOMEM: there is no
 * such slot; -EAGAIN: there was none, but the lock was released, or a page evicted, to find one. */
static int put_virtual(struct tmem_client *client, struct pool *pool,
	const struct tmem_handle *handle, struct position *position, u32 content,
	struct put_hand *hand)
{
	u32 slot = client_take_slot(client, VIRTUAL);
	struct page *page;

	if (slot == SLOT_NONE) {
		dense_release(client, pool, content);
		if (hand->sought)
			return -SLUICE_ENOMEM;
		hand->sought = true;
		slots_seek(client);
		return -SLUICE_EAGAIN;
	}
	page = page_at(client->tmem, slot);
	WRITE_ONCE(page->client, content);
	dense_own(client, content, slot);
	put_insert(client, pool, handle, position, slot, page);
	if (content_kind(content) == CONTENT_FILLED && !pool->persistent)
		evict_set_aside(client, slot);
	return 0;
}

/* The frame of a slot in hand. */
static void *frame_in_hand(struct tmem_client *client, const struct put_hand *hand)
{
	return block_frame(client_block(client, hand->slot), hand->slot);
}

/* A new page of a pool with modes. */
int put_dense(struct tmem_client *client, struct pool *pool, const struct tmem_handle *handle,
	struct position *position, const void *data, struct put_hand *hand)
{
	struct dense_look look = {.data = data};
	const void *copy;
	enum dense_outcome outcome;
	u32 slot;
	int error;

	if (pool->modes & TMEM_MODE_DEDUP)
		content_prefetch(data);
	if ((pool->modes & TMEM_MODE_FILLED) &&
		dense_place_filled(client, pool, data, &look.content)) {
		error = put_virtual(client, pool, handle, position, look.content, hand);
		if (error != -SLUICE_ENOMEM)
			return error;
	}
	if (!(pool->modes & ~TMEM_MODE_FILLED))
		return put_plain(client, pool, handle, position, data, hand);
	/* What else is looked at is our own copy: the guest may be writing. It is made where the
	 * page would have to go, if there is a frame at hand. */
	if (hand->slot == SLOT_NONE)
		hand->slot = client_take_slot(client, pool->persistent ? PERSISTENT : EPHEMERAL);
	look.copy = hand->slot == SLOT_NONE ? tmem_port_scratch()->page
					    : frame_in_hand(client, hand);
	copy = look.copy;
	slot = hand->slot;
	outcome = dense_place(client, pool, &look, &hand->slot);
	if (outcome == DENSE_NEEDS_FRAME) {
		error = put_prepare_frame(client, pool, hand);
		if (error)
			return error;
		outcome = dense_place(client, pool, &look, &hand->slot);
	}
	/* A frame that was taken is another's, and may hold something else by now. */
	if (!look.copied || (slot != SLOT_NONE && hand->slot == SLOT_NONE)) {
		copy = data;
		look.hash = 0;
	}
	if (outcome == DENSE_PLACED) {
		error = put_virtual(client, pool, handle, position, look.content, hand);
		if (!error)
			put_give_back(client, hand);
		if (error != -SLUICE_ENOMEM)
			return error;
		/* Those that could have shared its content are known already. */
		look.hash = 0;
	}
	error = put_prepare_frame(client, pool, hand);
	if (error)
		return error;
	slot = hand->slot;
	error = put_plain(client, pool, handle, position, copy, hand);
	dense_note(client, pool, slot, look.hash);
	return error;
}
