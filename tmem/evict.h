/*
 * Who gives a page, and how one goes: for eviction (evict.c) and reclaim (reclaim.c).
 */
#ifndef TMEM_EVICT_H
#define TMEM_EVICT_H

#include "tmem/client.h"

/* Looks at clients of groups after which whoever wants a frame gives up: of pages that are shared
 * with other clients, many may have to go before a frame is nobody's. */
#define LOOKS_MAX 64U

/* The client with this number; NULL if there never was one. No lock. */
struct tmem_client *client_number(const struct tmem *tmem, u32 number);

/*
 * Whom a new page of @self should be taken from, NULL if nobody. An ephemeral put counts itself in:
 * it takes from others only while they are strictly further over their share than @self would then
 * be. Idle clients come before all others: there is no share to respect.
 * @self NULL: reclaim. Reads counts without locks; the caller looks again.
 */
struct tmem_client *choose_victim(
	const struct tmem *tmem, struct tmem_client *self, enum tmem_class class);

/* Drops the page in @slot of a client whose lock is held. Its frame is nobody's then; SLOT_NONE if
 * it had none of its own. */
u32 evict_page(struct tmem_client *client, u32 slot);

/* The slot of the client's page that goes next; there is one. Its lock is held. */
u32 next_to_go(const struct tmem_client *client);

#endif
