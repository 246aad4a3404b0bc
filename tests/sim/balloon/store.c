/*
 * One guest's pages in the simulator's pool (tests/sim/balloon/store.h), and the memory that the
 * engine's files ask their host for.
 */
#include "tests/sim/balloon/store.h"

#include "tests/sim/balloon/workload.h"
#include "tests/unit/tmem_host/metadata_pages.h"
#include "tmem/aging.h"

void store_init(struct sim_store *store, u32 guest_pages, u64 key, bool fifo)
{
	list_init(&store->queue[QUEUE_SMALL]);
	list_init(&store->queue[QUEUE_MAIN]);
	history_init(&store->history);
	queues_init(&store->queues);
	store->guest_pages = guest_pages;
	store->key = key;
	store->puts = 0;
	store->fifo = fifo;
}

void store_destroy(struct sim_store *store)
{
	history_destroy(NULL, &store->history);
	queues_destroy(NULL, &store->queues);
}

/* Another than that of the ghosts: the engine's two have keys of their own. */
static u64 hash_of(const struct sim_store *store, u32 n)
{
	struct sim_random random = {~(store->key + n)};

	return sim_random(&random);
}

static void note_departure(struct sim_store *store, u32 n, enum departure why)
{
	u64 hash = hash_of(store, n);

	history_note(history_prefetch(&store->history, hash), hash, why);
}

void store_put(struct sim_store *store, struct sim_page *page, u32 n)
{
	enum queue queue = QUEUE_SMALL;

	if (!store->fifo) {
		u64 hash = hash_of(store, n);
		struct history_set *set = history_prefetch(&store->history, hash);

		queue = queues_put(&store->queues, hash, history_recall(set, hash));
		if (++store->puts % AGING_PERIOD == 0) {
			history_adjust(
				NULL, &store->history, store_count(store) + store->guest_pages);
			queues_adjust(NULL, &store->queues, store_count(store));
		}
	}
	page[n].queue = (u8)queue;
	list_push(page, &store->queue[queue], n);
}

void store_hit(struct sim_store *store, struct sim_page *page, u32 n)
{
	list_remove(page, &store->queue[page[n].queue], n);
	if (store->fifo)
		return;
	store_miss(store, n);
	note_departure(store, n, DEPARTURE_HIT);
}

void store_miss(struct sim_store *store, u32 n)
{
	if (!store->fifo)
		queues_get(&store->queues, hash_of(store, n), false);
}

u32 store_evict(struct sim_store *store, struct sim_page *page)
{
	enum queue queue = queues_victim(
		&store->queues, store->queue[QUEUE_SMALL].count, store->queue[QUEUE_MAIN].count);
	u32 n = store->queue[queue].oldest;

	list_remove(page, &store->queue[queue], n);
	if (!store->fifo)
		note_departure(store, n, DEPARTURE_EVICTED);
	return n;
}
