/*
 * What the pool of the balloon simulator holds of one guest: the pages in the two queues that the
 * tmem engine has, which one a page joins and which one gives up its oldest decided by the engine's
 * own memory and rules (tmem/history.h, tmem/queues.h).
 */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "tests/sim/balloon/list.h"
#include "tmem/history.h"
#include "tmem/queues.h"

struct sim_store {
	struct sim_list queue[QUEUES];
	struct history history;
	struct queues queues;
	u64 key;         /* of the hashes */
	u32 guest_pages; /* the guest's maximum, as the hypervisor tells its engine */
	u32 puts;
	bool fifo;
};

/* An empty store; must not be moved. @fifo: the oldest page goes, whatever is known of it. */
void store_init(struct sim_store *store, u32 guest_pages, u64 key, bool fifo);
/* Gives back what it remembers with. */
void store_destroy(struct sim_store *store);

static inline u32 store_count(const struct sim_store *store)
{
	return store->queue[QUEUE_SMALL].count + store->queue[QUEUE_MAIN].count;
}

/* Page @n of the guest with @page, which is in no list, comes into the store. */
void store_put(struct sim_store *store, struct sim_page *page, u32 n);
/* The guest gets page @n, which is in the store, and it leaves. */
void store_hit(struct sim_store *store, struct sim_page *page, u32 n);
/* The guest asks for page @n, which is not there. */
void store_miss(struct sim_store *store, u32 n);
/* The page that goes next leaves the store, which is not empty. Its number. */
u32 store_evict(struct sim_store *store, struct sim_page *page);

#endif
