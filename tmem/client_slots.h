/*
 * The slots that a client keeps at hand, by class, and the half of a block that it used last: its
 * next slot is likely near. What is kept of a half goes when its block does
 * (client_forget_block()), and no block goes of which the client has a slot. The client's lock is
 * held.
 */
#ifndef TMEM_CLIENT_SLOTS_H
#define TMEM_CLIENT_SLOTS_H

#include "tmem/client.h"

/* ---- The half that was used last ------------------------------------------------------ */

/* Makes client->half that of @slot, which the client has. False: its block did not come whole. */
bool client_turn_to(struct tmem_client *client, u32 slot);

/* Whether the records of @slot's half of its block are those remembered last. */
static inline bool client_has_half(const struct tmem_client *client, u32 slot)
{
	return likely(slot >> HALF_SHIFT == READ_ONCE(client->half.number));
}

/* Whether client->half is that of @slot now: if its block came whole. */
static inline bool client_is_near(struct tmem_client *client, u32 slot)
{
	return client_has_half(client, slot) || client_turn_to(client, slot);
}

/* The record and the frame of a slot in client->half. */
static inline struct page *near_page(const struct tmem_client *client, u32 slot)
{
	return client->half.records + (slot & ((1U << HALF_SHIFT) - 1));
}

/* The frame of @slot, in the block remembered last. */
static inline void *near_frame(const struct tmem_client *client, u32 slot)
{
	return client->half.frames + (u64)(slot & ((1U << HALF_SHIFT) - 1)) * PAGE_SIZE;
}

/* The block of @slot, which is remembered for the next call. The client's lock is held. */
static inline struct block *client_block(struct tmem_client *client, u32 slot)
{
	return client_is_near(client, slot) ? client->half.block : block_of(client->tmem, slot);
}

/* The record of @slot, quicker if its block is the one remembered. */
static inline struct page *client_page(const struct tmem_client *client, u32 slot)
{
	return client_has_half(client, slot) ? near_page(client, slot)
					     : page_at(client->tmem, slot);
}

/* ---- Slots at hand -------------------------------------------------------------------- */

/* The slot that was freed last. Of an empty magazine it is its count: 0, SLOT_NONE. */
static inline u32 magazine_top(const struct magazine *magazine)
{
	return magazine->words[magazine->count];
}

/* A slot of the client's own magazine; SLOT_NONE if it is empty. Client lock. */
static inline u32 client_slot_at_hand(struct tmem_client *client, unsigned class)
{
	struct magazine *magazine = &client->magazines[class];
	u32 slot = magazine_top(magazine);

	if (likely(slot != SLOT_NONE))
		WRITE_ONCE(magazine->count, magazine->count - 1);
	return slot;
}

/* A slot of the client's own magazines or of the arena; SLOT_NONE if neither has one. Client lock.
 */
u32 client_take_slot(struct tmem_client *client, unsigned class);
/* The same when the magazine is empty: a batch from the arena, else one frame of the other class,
 * since mixing is better than evicting. */
u32 client_fetch_slot(struct tmem_client *client, unsigned class);
/* A batch for the magazine of frames of this class, which is empty. False: there is none. Client
 * lock. */
bool client_refill(struct tmem_client *client, enum tmem_class class);
/* Gives all but the @keep latest slots of a magazine to the arena. Client lock. */
void client_spill(struct tmem_client *client, unsigned class, u32 keep);

/* The magazine that free slots of @block go to. */
static inline struct magazine *client_magazine_of(
	struct tmem_client *client, const struct block *block)
{
	struct magazine *magazine = &client->magazines[READ_ONCE(block->class)];

	HIDE_FROM_COMPILER(magazine); /* it would compute the address three times */
	return magazine;
}

/* A magazine that has become full gives half of its slots away. Client lock. */
void client_spill_full(struct tmem_client *client, const struct magazine *magazine);

/* Puts a slot into the magazine of its block's class. Client lock. */
static inline void client_give_slot(
	struct tmem_client *client, const struct block *block, struct page *page, u32 slot)
{
	struct magazine *magazine = client_magazine_of(client, block);
	u32 count = magazine->count;

	page_set_state(page, SLOT_EMPTY);
	magazine->words[++count] = slot;
	WRITE_ONCE(magazine->count, count);
	if (unlikely(count == MAGAZINE_SLOTS))
		client_spill_full(client, magazine);
}
/* Empties the magazines into the arena. Client lock. */
void client_give_all_slots(struct tmem_client *client);

#endif
