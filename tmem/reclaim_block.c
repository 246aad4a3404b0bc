/*
 * A block is emptied for reclaim (tmem/evict.h), slot by slot: what is idle is taken, what must not
 * be dropped moves elsewhere, and what is worth more than the coldest page of the store takes its
 * frame.
 */
#include "tmem/evict.h"

#include "tmem/client_slots.h"
#include "tmem/dedup.h"
#include "tmem/dense.h"

/* ---- Slots that are given up ---------------------------------------------------------- */

/* Removes @slot from the magazine it lies in; false if a put under way has it in hand. The client's
 * lock is held. */
static bool take_out_of_magazine(struct tmem_client *client, u32 slot)
{
	for (unsigned class = 0; class < TMEM_CLASSES; class ++) {
		struct magazine *magazine = &client->magazines[class];

		for (u32 i = 0; i < magazine->count; i++) {
			if (magazine->slots[i] == slot) {
				WRITE_ONCE(magazine->count, magazine->count - 1);
				magazine->slots[i] = magazine->slots[magazine->count];
				return true;
			}
		}
	}
	return false;
}

static void drop_page(struct tmem_client *client, u32 slot)
{
	u32 freed = evict_page(client, slot);

	if (freed != SLOT_NONE)
		arena_give(client->tmem, &freed, 1);
}

/* A frame elsewhere for what must not be dropped, 0 if there is none. The block that is being
 * emptied gives none. */
static u32 refuge(struct tmem_client *client, enum tmem_class class)
{
	u32 slot = SLOT_NONE;

	return arena_take(client->tmem, class, client->number, &slot, 1) ? slot : SLOT_NONE;
}

static bool vacate(struct tmem_client *client, u32 slot)
{
	enum tmem_class class = dense_class(client, slot);
	bool packed = page_state(page_at(client->tmem, slot)) == SLOT_PACKED;
	u32 to = SLOT_NONE;
	bool vacated;

	/* Compressed ephemeral pages are dropped like others that are not worth moving; what
	 * several ephemeral pages share stays, as in move_common(). */
	if (!packed && class == EPHEMERAL)
		return false;
	if (class == PERSISTENT) {
		to = refuge(client, class);
		if (to == SLOT_NONE)
			return false;
	}
	vacated = dense_vacate(client, slot, &to, drop_page);
	if (to != SLOT_NONE)
		arena_give(client->tmem, &to, 1);
	return vacated;
}

/* What others may have, too, is nobody's to drop. Persistent content moves; ephemeral stays until
 * its pages are evicted, since it would only move from one block that is to be emptied to the next.
 */
static bool move_common(struct tmem_client *client, u32 slot)
{
	u32 to = SLOT_NONE;

	if (common_class(page_at(client->tmem, slot)) == PERSISTENT)
		to = refuge(client, PERSISTENT);
	if (to == SLOT_NONE)
		return false;
	if (dedup_vacate(client, slot, to))
		return true;
	arena_give(client->tmem, &to, 1);
	return false;
}

static bool move_away(struct tmem_client *client, u32 slot)
{
	u32 to = refuge(client, PERSISTENT);

	if (to == SLOT_NONE)
		return false;
	client_move_page(client, slot, to);
	return true;
}

/* Takes @slot from @client if that has it idle or with an ephemeral page. Its lock is held. */
static bool seize_slot_of(struct tmem_client *client, u32 slot)
{
	struct page *page = page_at(client->tmem, slot);
	enum slot_state state = page_state(page);

	if (page_client(page) != client->number)
		return false;
	switch (state) {
	case SLOT_EMPTY:
		return take_out_of_magazine(client, slot);
	case SLOT_QUEUED:
	case SLOT_QUEUED_MAIN:
		evict_page(client, slot);
		return true;
	case SLOT_SHARED:
	case SLOT_PACKED:
		return vacate(client, slot);
	case SLOT_COMMON:
		return move_common(client, slot);
	case SLOT_PERSISTENT:
		return move_away(client, slot);
	default:
		return false;
	}
}

/* ---- Pages that move ------------------------------------------------------------------ */

/* Whether a client at work holds less than its share of what ephemeral pages of such clients hold
 * together. No lock. */
static bool is_below_share(const struct tmem *tmem, const struct tmem_client *client)
{
	u64 frames = 0, weights = 0;

	for (u32 number = 0; number < READ_ONCE(tmem->client_count); number++) {
		const struct tmem_client *other = client_number(tmem, number);
		u64 its_frames;

		if (!other || client_is_idle(tmem, other))
			continue;
		its_frames = client_ephemeral_frames(other);
		frames += its_frames;
		weights += its_frames ? READ_ONCE(other->weight) : 0;
	}
	return client_ephemeral_frames(client) * weights < frames * READ_ONCE(client->weight);
}

/* Whether the client has an ephemeral page, or compressed ones, in that frame. Its lock is held. */
static bool holds_ephemeral(const struct tmem_client *client, u32 slot)
{
	const struct page *page = page_at(client->tmem, slot);

	return page_client(page) == client->number &&
	       (page_is_queued(page) ||
		       (page_state(page) == SLOT_PACKED && dense_class(client, slot) == EPHEMERAL));
}

/* Whether what is in a block that is being emptied is worth moving: ephemeral pages that are hot,
 * or of a client that holds less than its share. Idle clients have none. No lock is held. */
static bool is_worth_moving(
	const struct tmem *tmem, struct tmem_client *client, u32 slot, enum slot_state state)
{
	bool holds;

	if ((state != SLOT_QUEUED && state != SLOT_QUEUED_MAIN && state != SLOT_PACKED) ||
		client_is_idle(tmem, client) ||
		(state != SLOT_QUEUED_MAIN && !is_below_share(tmem, client)))
		return false;
	client_lock(client);
	holds = holds_ephemeral(client, slot);
	client_unlock(client);
	return holds;
}

/* A frame of the page that goes next in the whole store, SLOT_NONE if there is none. No lock is
 * held. */
static u32 drop_coldest(struct tmem *tmem)
{
	struct tmem_client *victim = choose_victim(tmem, NULL, EPHEMERAL);
	u32 slot = SLOT_NONE;

	if (!victim)
		return slot;
	client_lock(victim);
	slot = evict_frame(victim);
	client_unlock(victim);
	return slot;
}

/* Moves what is in @slot to a frame that the coldest page gives up. The slot that is nobody's then:
 * @slot, or that frame if it lies in the same block or the page has gone meanwhile; SLOT_NONE if
 * there is no such frame. No lock is held. */
static u32 trade(struct tmem *tmem, struct tmem_client *client, u32 slot)
{
	u32 to = drop_coldest(tmem);

	if (to == SLOT_NONE || to / BLOCK_PAGES == slot / BLOCK_PAGES)
		return to;
	client_lock(client);
	if (holds_ephemeral(client, slot)) {
		WRITE_ONCE(page_at(tmem, to)->client, client->number);
		if (page_is_queued(page_at(tmem, slot)))
			client_move_page(client, slot, to);
		else
			(void)dense_vacate(client, slot, &to, NULL); /* @to will do */
		to = slot;
	}
	client_unlock(client);
	return to;
}

/* ---- The block ------------------------------------------------------------------------ */

/* The records are read without a lock to find whom to ask, and again under that client's lock. */
unsigned reclaim_from_block(
	struct tmem *tmem, const struct block *block, void **pages, unsigned max)
{
	unsigned count = 0;

	for (u32 place = 0; place < BLOCK_PAGES && count < max; place++) {
		u32 slot = block->number * BLOCK_PAGES + place;
		const struct page *page = page_at(tmem, slot);
		enum slot_state state = page_state(page);
		struct tmem_client *client;
		bool seized;

		if (state == SLOT_ABSENT)
			continue;
		client = client_number(tmem, READ_ONCE(page->client) % TMEM_CLIENTS);
		if (!client)
			continue;
		if (is_worth_moving(tmem, client, slot, state)) {
			u32 freed = trade(tmem, client, slot);

			if (freed != SLOT_NONE) {
				pages[count++] = arena_detach(tmem, freed);
				/* This place again, if it was another one that became free. */
				place -= freed != slot;
				continue;
			}
		}
		client_lock(client);
		seized = seize_slot_of(client, slot);
		client_unlock(client);
		if (seized)
			pages[count++] = arena_detach(tmem, slot);
	}
	return count;
}
