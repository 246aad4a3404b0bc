/*
 * What eviction (tmem/evict.c), reclaim (tmem/reclaim.c, reclaim_block.c) and the shares of virtual
 * slots (tmem/slots.c) have in common: whose pages go, and which of them.
 */
#ifndef TMEM_EVICT_H
#define TMEM_EVICT_H

#include "tmem/aging.h"
#include "tmem/client.h"

/* Looks at clients without a frame won after which whoever wants one gives up: many of the pages
 * that share a content may have to go before its frame is nobody's. */
#define LOOKS_MAX 64U

/* The client with this number; NULL if there never was one. No lock. */
struct tmem_client *client_number(const struct tmem *tmem, u32 number);

/* Whether it neither put nor got for TMEM_IDLE_TICKS. No lock. */
bool client_is_idle(const struct tmem *tmem, const struct tmem_client *client);

/*
 * The rule of shares. Of those who have something to give, which @gives says the amount of, the one
 * that has most of it for its weight; before all others, idle ones, since there is no share to
 * respect. @self is one of them with @held in any case; NULL: not in any case. NULL if there is
 * none. Reads counts without locks.
 */
static inline __attribute__((always_inline)) struct tmem_client *furthest_over_share(
	const struct tmem *tmem, struct tmem_client *self, u64 held,
	u64 (*gives)(const struct tmem_client *client))
{
	struct tmem_client *victim = self;
	u64 most = self ? held : 0, weight = self ? self->weight : 1;
	bool idle = false;

	for (u32 number = 0; number < READ_ONCE(tmem->client_count); number++) {
		struct tmem_client *client = client_number(tmem, number);
		u64 its_held, its_weight;
		bool its_idle;

		if (!client)
			continue;
		its_held = gives(client);
		its_weight = READ_ONCE(client->weight);
		if (!its_held || !its_weight)
			continue;
		its_idle = client_is_idle(tmem, client);
		if (its_idle == idle ? its_held * weight > most * its_weight : its_idle) {
			victim = client;
			idle = its_idle;
			most = its_held;
			weight = its_weight;
		}
	}
	return victim;
}

/*
 * Whom a new page of @self should be taken from, NULL if nobody has a frame to give; @self may be
 * the answer without one. An ephemeral put counts itself in: it takes from others only while they
 * are strictly further over their share than @self would then be. @self NULL: reclaim. The caller
 * looks again under the lock.
 */
struct tmem_client *choose_victim(
	const struct tmem *tmem, struct tmem_client *self, enum tmem_class class);

/* ---- The client's lock is held ---- */

/* The slot of the page that goes next of those that are not set aside; there is one. */
u32 next_to_go(const struct tmem_client *client);
/* That of the page that goes next of those that are; SLOT_NONE if there is none. */
u32 oldest_aside(const struct tmem_client *client);
/* Drops the page in @slot. Its frame is nobody's then; SLOT_NONE if it had none of its own. */
u32 evict_page(struct tmem_client *client, u32 slot);
/* A frame of the oldest page that has one, or of several pages that share them. At most 16 pages
 * are dropped, or set aside since they cost no frame that is worth it. SLOT_NONE: none was won, or
 * frames may have come to the arena. */
u32 evict_frame(struct tmem_client *client);
/* The page in @slot, a virtual one of an ordinary list, is set aside as the newest of those that go
 * for their slots. */
void evict_set_aside(struct tmem_client *client, u32 slot);

/* A step of compaction somewhere, for whoever wants a frame; false if there is nothing to do.
 * @self, if not NULL, is locked, and its lock may be released meanwhile; no other is held. */
bool compact_any(const struct tmem *tmem, struct tmem_client *self);

/* Takes up to @max frames out of a claimed block into @pages, and returns how many. What is left is
 * in use by those who may not be asked to give it up. No lock is held. */
unsigned reclaim_from_block(
	struct tmem *tmem, const struct block *block, void **pages, unsigned max);

#endif
