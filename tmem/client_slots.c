/*
 * The slots that a client keeps at hand, and the block it used last (tmem/client_slots.h).
 */
#include "tmem/client_slots.h"

#include <string.h>

/* ---- Slots at hand ------------------------------------------------------------------ */

static u32 take_batch(struct tmem_client *client, unsigned class)
{
	struct magazine *magazine = &client->magazines[class];
	u32 count = 0;

	if (class == VIRTUAL || !arena_is_dry(client->tmem, &client->patience))
		count = arena_take(
			client->tmem, class, client->number, magazine->slots, MAGAZINE_BATCH);
	WRITE_ONCE(magazine->count, count);
	return count;
}

bool client_refill(struct tmem_client *client, enum tmem_class class)
{
	return take_batch(client, class) != 0;
}

__attribute__((noinline)) u32 client_fetch_slot(struct tmem_client *client, unsigned class)
{
	if (!take_batch(client, class)) {
		if (class == VIRTUAL)
			return SLOT_NONE;
		class = 1 - class;
	}
	return client_slot_at_hand(client, class);
}

u32 client_take_slot(struct tmem_client *client, unsigned class)
{
	u32 slot = client_slot_at_hand(client, class);

	return slot == SLOT_NONE ? client_fetch_slot(client, class) : slot;
}

void client_spill(struct tmem_client *client, unsigned class, u32 keep)
{
	struct magazine *magazine = &client->magazines[class];
	u32 count = magazine->count - keep;

	arena_give(client->tmem, magazine->slots, count);
	memmove(magazine->slots, magazine->slots + count, keep * sizeof(u32));
	WRITE_ONCE(magazine->count, keep);
}

void client_spill_full(struct tmem_client *client, const struct magazine *magazine)
{
	client_spill(
		client, (unsigned)(magazine - client->magazines), MAGAZINE_SLOTS - MAGAZINE_BATCH);
}

void client_give_all_slots(struct tmem_client *client)
{
	for (unsigned class = 0; class < SLOT_CLASSES; class ++) {
		struct magazine *magazine = &client->magazines[class];

		arena_give(client->tmem, magazine->slots, magazine->count);
		WRITE_ONCE(magazine->count, 0);
	}
}

/* ---- The half of a block that was used last ------------------------------------------ */

__attribute__((noinline)) bool client_turn_to(struct tmem_client *client, u32 slot)
{
	u32 number = slot >> HALF_SHIFT, first = number << HALF_SHIFT;
	struct block *block = block_of(client->tmem, slot);

	_Static_assert(PAGES_PER_LEAF == 1U << HALF_SHIFT, "the records of a half are one page");
	if (!block->base)
		return false;
	client->half.records = block_page(block, first);
	client->half.frames = block_frame(block, first);
	client->half.block = block;
	client->half.magazine = client_magazine_of(client, block);
	WRITE_ONCE(client->half.number, number);
	return true;
}

/* Whoever has the block in mind has no slot of it any more. */
void client_forget_block(struct tmem *tmem, u32 number)
{
	for (u32 i = 0; i < tmem->client_count; i++) {
		struct tmem_client *client = tmem->clients[i];

		if (READ_ONCE(client->half.number) == number * 2 ||
			READ_ONCE(client->half.number) == number * 2 + 1)
			WRITE_ONCE(client->half.number, HALF_NONE);
	}
}
