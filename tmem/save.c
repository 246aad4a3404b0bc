/*
 * Saving the pools and persistent pages of a frozen client as a stream. The walk goes over the
 * slots of the store, not over the index, so that flushes between two calls change nothing that it
 * stands on. How far it has come is the caller's to keep, and only a number: no state of a save can
 * leak, and a wrong one leads nowhere but to another record of the same client.
 */
#include <string.h>

#include <abi/errno.h>

#include "tmem/dense.h"
#include "tmem/index.h"
#include "tmem/stream.h"

/* Blocks that one call looks through for pages, at most. */
#define STEP_BLOCKS 32U

/* The next slot from @slot on, within its block, that holds a persistent page of @client, or
 * SLOT_NONE. The client's lock keeps what was found in place. */
static u32 find_in_block(const struct tmem_client *client, u32 slot)
{
	struct tmem *tmem = client->tmem;
	u32 end = (slot / BLOCK_PAGES + 1) * BLOCK_PAGES;
	const struct block *block;

	tmem_port_lock(&tmem->arena.lock);
	block = arena_block(tmem, slot / BLOCK_PAGES);
	for (; block && slot < end; slot++) {
		const struct page *page = block_page(block, slot);

		if (page_state(page) == SLOT_PERSISTENT &&
			(block_is_virtual(block) ? block->client : page_client(page)) ==
				client->number &&
			!client->pools[page_pool(page)]->dying)
			break;
	}
	tmem_port_unlock(&tmem->arena.lock);
	return block && slot < end ? slot : SLOT_NONE;
}

/* Puts the page in @slot into the record, and its contents into @data. */
static int write_page(
	struct tmem_client *client, u32 slot, struct tmem_stream_record *record, void *data)
{
	struct block *block = block_of(client->tmem, slot);
	const struct page *page = block_page(block, slot);
	struct pool *pool = client->pools[page_pool(page)];
	struct position position;

	pool_locate(pool, slot, &position);
	record->type = TMEM_STREAM_PAGE;
	record->pool = pool->id;
	record->index = position.group ? position.group->number * GROUP_PAGES + page_place(page)
				       : position.object->index;
	memcpy(record->words, position.object->key, sizeof(record->words));
	if (block_is_virtual(block))
		return dense_fetch(client, page->client, data);
	tmem_port_copy(data, block_frame(block, slot));
	return 0;
}

/* The next pool from the cursor on; false if there is none. */
static bool next_pool(const struct tmem_client *client, struct tmem_save_state *state,
	struct tmem_stream_record *record)
{
	while (state->cursor < TMEM_POOLS_PER_GUEST) {
		const struct pool *pool = client->pools[state->cursor++];

		if (!pool || pool->dying)
			continue;
		record->type = TMEM_STREAM_POOL;
		record->pool = pool->id;
		record->flags = pool_flags(pool);
		memcpy(record->words, pool->uuid, sizeof(pool->uuid));
		state->pools++;
		return true;
	}
	return false;
}

/* The next page from the cursor on: 1; 0 if there is none, or none yet once *@blocks is 0; -EINVAL
 * if its content is broken. */
static int next_page(struct tmem_client *client, struct tmem_save_state *state,
	struct tmem_stream_record *record, void *data, unsigned *blocks)
{
	u64 end = (u64)READ_ONCE(client->tmem->arena.block_numbers) * BLOCK_PAGES;

	while (state->cursor < end && *blocks) {
		u32 slot = find_in_block(client, (u32)state->cursor);

		--*blocks;
		if (slot == SLOT_NONE) {
			state->cursor = (state->cursor / BLOCK_PAGES + 1) * BLOCK_PAGES;
			continue;
		}
		if (write_page(client, slot, record, data))
			return -SLUICE_EINVAL;
		state->cursor = slot + 1;
		state->pages++;
		return 1;
	}
	return 0;
}

/* Composes the next record and moves @state on; the type is 0 if there is none now. Client lock. */
static int compose(struct tmem_client *client, struct tmem_save_state *state,
	struct tmem_stream_record *record, void *data, unsigned *blocks)
{
	int found;

	memset(record, 0, sizeof(*record));
	if (!client->frozen || client->restore.phase ||
		(state->phase != TMEM_SAVE_BEGIN && state->epoch != client->freezes))
		return -SLUICE_EINVAL;
	switch (state->phase) {
	case TMEM_SAVE_BEGIN:
		*state = (struct tmem_save_state){
			.phase = TMEM_SAVE_POOLS, .epoch = client->freezes};
		record->type = TMEM_STREAM_BEGIN;
		record->words[0] = TMEM_STREAM_MAGIC;
		record->words[1] = TMEM_STREAM_VERSION;
		return 0;
	case TMEM_SAVE_POOLS:
		if (next_pool(client, state, record))
			return 0;
		state->phase = TMEM_SAVE_PAGES;
		state->cursor = 0;
		/* fallthrough */
	case TMEM_SAVE_PAGES:
		found = next_page(client, state, record, data, blocks);
		if (found < 0)
			return found;
		if (found || !*blocks)
			return 0;
		/* fallthrough */
	case TMEM_SAVE_END:
		state->phase = TMEM_SAVE_DONE;
		record->type = TMEM_STREAM_END;
		record->words[0] = state->pools;
		record->words[1] = state->pages;
		return 0;
	default:
		return -SLUICE_EINVAL;
	}
}

/* Hands one record over at @offset; the bytes it takes, or what the copy returned. */
static s64 hand_over(const struct tmem_transfer *to, u64 offset, struct tmem_stream_record *record,
	struct tmem_save_state *state)
{
	void *page = record->type == TMEM_STREAM_PAGE ? to->page : NULL;
	int error;

	state->check = record->check = stream_check(record, page, state->check);
	error = to->copy(to->argument, offset, record, sizeof(*record));
	if (!error && page)
		error = to->copy(to->argument, offset + sizeof(*record), page, PAGE_SIZE);
	return error ? error : (s64)(sizeof(*record) + (page ? PAGE_SIZE : 0));
}

s64 tmem_save(
	struct tmem_client *client, struct tmem_save_state *state, const struct tmem_transfer *to)
{
	unsigned blocks = STEP_BLOCKS;
	u64 offset = 0;

	if (to->length < sizeof(struct tmem_stream_record) + PAGE_SIZE)
		return -SLUICE_EINVAL;
	for (unsigned i = 0; i < STREAM_STEP_RECORDS; i++) {
		struct tmem_save_state next = *state;
		struct tmem_stream_record record;
		s64 result;

		if (next.phase == TMEM_SAVE_DONE ||
			to->length - offset < sizeof(record) + PAGE_SIZE)
			break;
		client_lock(client);
		result = compose(client, &next, &record, to->page, &blocks);
		client_unlock(client);
		if (!result && record.type)
			result = hand_over(to, offset, &record, &next);
		if (result < 0)
			return offset ? (s64)offset : result;
		*state = next;
		offset += (u64)result;
		if (!record.type)
			break;
	}
	return (s64)offset;
}
