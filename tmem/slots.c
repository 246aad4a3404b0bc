/*
 * Shares of virtual slots, which pages without a frame have (tmem/dense.h): the store has eight for
 * each of its frames, and the rule is that of frames (tmem/evict.c). What one client leaves unused
 * others may borrow. When there is none left, the client with most pages in such slots for its
 * weight gives some up: the putter a page, another one a block of 512 slots, since slots are given
 * out by blocks. Ephemeral pages in that block are dropped; persistent ones move to other slots.
 *
 * A block is emptied in steps, one a put, and is claimed from the first to the last, so that nobody
 * takes slots of it; its number stands in tmem->emptied_block, under the arena's lock.
 */
#include "tmem/dense.h"
#include "tmem/evict.h"
#include "tmem/page_list.h"

/* Pages that one step drops or moves. */
#define STEP_PAGES 64U
/* Pages looked at for one in a virtual slot. */
#define PAGES_SEARCHED 16U

/* Ephemeral pages in virtual slots. */
static u64 slots_of(const struct tmem_client *client)
{
	return READ_ONCE(client->dense_pages[EPHEMERAL]) + READ_ONCE(client->common_pages);
}

/* They go by blocks: 0 if there is none to give. */
static u64 slots_to_give(const struct tmem_client *client)
{
	u64 slots = slots_of(client);

	return slots < BLOCK_PAGES ? 0 : slots;
}

/* The slot of an old ephemeral page that is virtual, or SLOT_NONE. */
static u32 find_virtual(const struct tmem_client *client)
{
	u32 slot = oldest_aside(client);

	if (slot)
		return slot;
	if (client_ordinary_pages(client))
		slot = next_to_go(client);
	for (u32 i = 0; i < PAGES_SEARCHED && slot; i++) {
		if (block_is_virtual(block_of(client->tmem, slot)))
			return slot;
		slot = page_at(client->tmem, slot)->next & SLOT_MASK;
	}
	return SLOT_NONE;
}

/* The block that is being emptied, or NULL. */
static struct block *emptied_block(const struct tmem *tmem)
{
	u32 number = READ_ONCE(tmem->emptied_block);

	return number ? arena_block(tmem, number - 1) : NULL;
}

/* Begins with a block of the victim, whose lock is held. */
static void begin(struct tmem *tmem, const struct tmem_client *victim)
{
	u32 slot = victim->alive ? find_virtual(victim) : SLOT_NONE;
	struct block *block;

	if (slot == SLOT_NONE)
		return;
	tmem_port_lock(&tmem->arena.lock);
	block = block_of(tmem, slot);
	if (!tmem->emptied_block && !block->claimed) {
		arena_claim(tmem, block);
		WRITE_ONCE(tmem->emptied_block, block->number + 1);
	}
	tmem_port_unlock(&tmem->arena.lock);
}

/* Moves a persistent page to another slot; false if there is none. */
static bool move_page(struct tmem_client *client, u32 slot)
{
	struct page *page = page_at(client->tmem, slot);
	u32 content = page->client, to;

	if (!arena_take(client->tmem, VIRTUAL, client->number, &to, 1))
		return false;
	client_move_record(client, slot, to, content);
	dense_own(client, content, to);
	WRITE_ONCE(page->client, client->number);
	page_set_state(page, SLOT_EMPTY);
	arena_give(client->tmem, &slot, 1);
	return true;
}

/* Drops and moves what lies in a block of a client whose lock is held; true if all could go that
 * was looked at. */
static bool empty(struct tmem_client *client, const struct block *block)
{
	u32 slot = block->number * BLOCK_PAGES, end = slot + BLOCK_PAGES;
	bool all = true;

	/* Slots at hand may lie in it. */
	client_spill(client, VIRTUAL, 0);
	for (u32 left = STEP_PAGES; slot != end && left; slot++) {
		struct page *page = page_at(client->tmem, slot);

		if (page_is_queued(page)) {
			evict_page(client, slot);
			left--;
		} else if (page_state(page) == SLOT_PERSISTENT) {
			all &= move_page(client, slot);
			left--;
		}
	}
	client_spill(client, VIRTUAL, 0);
	return all;
}

/* One step with the block that is being emptied, or the beginning with one. No lock is held. */
static void take_back(struct tmem *tmem, struct tmem_client *victim, struct tmem_client *self)
{
	struct block *block = emptied_block(tmem);
	bool all;

	if (block)
		victim = client_number(tmem, READ_ONCE(block->client));
	client_lock(victim);
	if (!block)
		begin(tmem, victim);
	block = emptied_block(tmem);
	if (!block || block->client != victim->number) {
		client_unlock(victim);
		return;
	}
	all = !victim->alive || empty(victim, block);
	tmem_port_lock(&tmem->arena.lock);
	if (block->free_count == block->present || !all) {
		WRITE_ONCE(tmem->emptied_block, 0);
		if (all)
			arena_hand_over(tmem, block, self->number);
		else
			arena_unclaim(tmem, block);
	}
	tmem_port_unlock(&tmem->arena.lock);
	client_unlock(victim);
}

void slots_seek(struct tmem_client *self)
{
	/* One that has a block more than @self then would have, or @self. */
	struct tmem_client *victim = furthest_over_share(
		self->tmem, self, slots_of(self) + BLOCK_PAGES, slots_to_give);
	u32 slot;

	if (victim != self) {
		client_unlock(self);
		take_back(self->tmem, victim, self);
		client_lock(self);
		return;
	}
	/* As long as there are frames the page gets one, and with it come eight more slots. */
	if (!arena_is_dry(self->tmem, &self->patience))
		return;
	slot = find_virtual(self);
	if (slot != SLOT_NONE && slots_of(self))
		evict_page(self, slot);
}
