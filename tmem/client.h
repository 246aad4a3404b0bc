/*
 * A client: its pools, its pages and the slots it keeps at hand. The client lock guards everything
 * here; fields that other CPUs read without it are written with WRITE_ONCE.
 */
#ifndef TMEM_CLIENT_H
#define TMEM_CLIENT_H

#include <abi/hypercall.h>

#include "lib/types.h"
#include "tmem/arena.h"
#include "tmem/pool.h"

/* Slots at hand: a put takes the one that was freed last, whose frame is likely to be in the cache.
 */
#define MAGAZINE_SLOTS 64U
#define MAGAZINE_BATCH (MAGAZINE_SLOTS / 2)

struct magazine {
	u32 count;
	u32 slots[MAGAZINE_SLOTS];
};

struct tmem_client {
	struct tmem_lock lock;
	bool alive;
	u8 number; /* in tmem->clients */
	u32 weight;
	u32 used_at; /* tmem->ticks when it last put or got */
	struct tmem *tmem;
	u64 persistent_max;
	struct pool *pools[TMEM_POOLS_PER_GUEST];
	struct slab pages;
	u32 oldest, newest; /* of the ephemeral pages */
	u64 hash_keys[6];
	struct tmem_client_stats
		stats; /* ephemeral_pages and persistent_pages are the live counts */
	struct magazine magazines[TMEM_CLASSES]; /* by the class of the slots' blocks */
};
_Static_assert(sizeof(struct tmem_client) <= PAGE_SIZE, "a client is one page");

static inline struct page *page_at(const struct tmem_client *client, u32 id)
{
	return SLAB_AT(struct page, PAGE_ID_SHIFT, &client->pages, id);
}

static inline void client_lock(struct tmem_client *client)
{
	tmem_port_lock(&client->lock);
}

static inline void client_unlock(struct tmem_client *client)
{
	tmem_port_unlock(&client->lock);
}

/* The client is at work: its share is its own for the next TMEM_IDLE_TICKS. Client lock. */
static inline void client_note_use(struct tmem_client *client)
{
	WRITE_ONCE(client->used_at, READ_ONCE(client->tmem->ticks));
}

/* A slot of the client's own magazines or of the arena; SLOT_NONE if neither has one. Client lock.
 */
u32 client_take_slot(struct tmem_client *client, enum tmem_class class);
/* Back into the magazine of its block's class. Client lock. */
void client_give_slot(struct tmem_client *client, u32 slot);
/* Empties the magazines into the arena. Client lock. */
void client_give_all_slots(struct tmem_client *client);

/* Drops the page at @position in @pool, index and accounts included, and returns its slot, owned by
 * nobody (OWNER_MOVING). Client lock. */
u32 client_drop_page(struct tmem_client *client, struct pool *pool, struct position *position);

/* ---- Eviction (tmem/evict.c)
 * --------------------------------------------------------------------------- */

/*
 * Finds a slot for a page of @class when neither magazine nor arena has one: in another client's
 * magazine, or by evicting the oldest page of the client that is furthest over its weighted share.
 * Called and returns with @client's lock held, but may release it meanwhile: whatever was looked up
 * is stale. SLOT_NONE if the rules leave nothing to evict.
 */
u32 evict_for(struct tmem_client *client, enum tmem_class class);

#endif
