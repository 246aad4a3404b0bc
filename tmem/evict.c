/*
 * Eviction within the store (reclaim.c takes frames out of it). The client that holds most
 * ephemeral pages for its weight gives up its oldest page. That is weighted max-min fairness: what
 * one does not use of its share others may borrow, and who is below its share is never evicted from
 * by another's put, as long as it uses the store at all: pages of idle clients go first.
 *
 * No two client locks are ever held at once: whoever needs a page of another client releases its
 * own first and looks everything up again afterwards. Lock order: client before arena.
 */
#include "tmem/evict.h"

#include "tmem/aging.h"
#include "tmem/dense.h"
#include "tmem/page_list.h"

struct tmem_client *client_number(const struct tmem *tmem, u32 number)
{
	return __atomic_load_n(&tmem->clients[number], __ATOMIC_ACQUIRE);
}

/* Use counts as of the beginning of the tick in which it was seen. */
void tmem_tick(struct tmem *tmem)
{
	u32 now = __atomic_fetch_add(&tmem->ticks, 1, __ATOMIC_RELAXED);

	for (u32 number = 0; number < READ_ONCE(tmem->client_count); number++) {
		struct tmem_client *client = client_number(tmem, number);

		if (client && READ_ONCE(client->used)) {
			WRITE_ONCE(client->used, false);
			WRITE_ONCE(client->used_at, now);
		}
	}
}

static bool is_idle(const struct tmem *tmem, const struct tmem_client *client)
{
	if (READ_ONCE(client->used))
		return false;
	/* Signed: it may have been used since the ticks were read. */
	return (s32)(READ_ONCE(tmem->ticks) - READ_ONCE(client->used_at)) > (s32)TMEM_IDLE_TICKS;
}

struct tmem_client *choose_victim(
	const struct tmem *tmem, struct tmem_client *self, enum tmem_class class)
{
	struct tmem_client *victim = NULL;
	u64 pages = 0, weight = 1;
	bool idle = false;

	if (self && class == EPHEMERAL) {
		pages = client_ephemeral_frames(self) + 1;
		weight = self->weight;
		victim = self;
	}
	for (u32 number = 0; number < READ_ONCE(tmem->client_count); number++) {
		struct tmem_client *client = client_number(tmem, number);
		u64 its_pages, its_weight;
		bool its_idle;

		if (!client)
			continue;
		its_pages = client_ephemeral_frames(client);
		its_weight = READ_ONCE(client->weight);
		if (!its_pages || !its_weight)
			continue;
		its_idle = is_idle(tmem, client);
		if (its_idle == idle ? its_pages * weight > pages * its_weight : its_idle) {
			victim = client;
			idle = its_idle;
			pages = its_pages;
			weight = its_weight;
		}
	}
	return victim && READ_ONCE(victim->stats.ephemeral_pages) ? victim : NULL;
}

u32 evict_page(struct tmem_client *client, u32 slot)
{
	struct block *block = block_of(client->tmem, slot);
	struct page *page = block_page(block, slot);
	struct pool *pool = client->pools[page_pool(page)];
	struct position position;

	pool_locate(pool, slot, &position);
	if (unlikely(client->aging))
		aging_evicted(client->aging, aging_hash_at(pool, &position));
	client_drop_page(client, pool, &position, page);
	client->stats.evictions++;
	pool->counts.evictions++;
	if (likely(!block_is_virtual(block)))
		return slot;
	client_give_slot(client, block, page, slot);
	return SLOT_NONE;
}

/* A slot that lies idle in a magazine of @client, whose lock is held. */
static u32 take_from_magazine(struct tmem_client *client)
{
	for (unsigned class = 0; class < TMEM_CLASSES; class ++) {
		struct magazine *magazine = &client->magazines[class];

		if (magazine->count) {
			u32 slot = magazine->slots[magazine->count - 1];

			WRITE_ONCE(magazine->count, magazine->count - 1);
			return slot;
		}
	}
	return SLOT_NONE;
}

u32 next_to_go(const struct tmem_client *client)
{
	return page_list_oldest(&client->lists[aging_victim(client)]);
}

/* Pages without a frame of their own that one look for a frame evicts. */
#define DENSE_EVICTIONS 16U

/* A frame of the oldest ephemeral page of a client whose lock is held, or of several pages if they
 * have none of their own. SLOT_NONE: there is no page, or frames may have come to the arena. */
u32 evict_oldest(struct tmem_client *client)
{
	u32 slot = SLOT_NONE;

	for (u32 i = 0; i < DENSE_EVICTIONS && slot == SLOT_NONE; i++) {
		if (!client->alive || !client->stats.ephemeral_pages)
			break;
		slot = evict_page(client, next_to_go(client));
		if (unlikely(slot == SLOT_NONE)) {
			slot = take_from_magazine(client);
			dense_compact(client);
		}
	}
	return slot;
}

/* One of another client's idle slots; may release @self's lock meanwhile. */
static u32 borrow_idle_slot(struct tmem_client *self)
{
	for (u32 number = 0; number < READ_ONCE(self->tmem->client_count); number++) {
		struct tmem_client *client = client_number(self->tmem, number);
		u32 slot;

		if (!client || client == self ||
			(!READ_ONCE(client->magazines[EPHEMERAL].count) &&
				!READ_ONCE(client->magazines[PERSISTENT].count)))
			continue;
		client_unlock(self);
		client_lock(client);
		slot = take_from_magazine(client);
		client_unlock(client);
		client_lock(self);
		if (slot != SLOT_NONE)
			return slot;
	}
	return SLOT_NONE;
}

u32 evict_for(struct tmem_client *self, enum tmem_class class)
{
	u32 slot = take_from_magazine(self), looks = 0;

	if (slot == SLOT_NONE)
		slot = borrow_idle_slot(self);
	while (slot == SLOT_NONE && looks < LOOKS_MAX) {
		struct tmem_client *victim = choose_victim(self->tmem, self, class);

		if (!victim)
			break;
		looks += READ_ONCE(victim->group) != NULL;
		if (victim == self) {
			slot = evict_oldest(self);
		} else {
			client_unlock(self);
			client_lock(victim);
			slot = evict_oldest(victim);
			client_unlock(victim);
			client_lock(self);
		}
		if (unlikely(slot == SLOT_NONE))
			slot = client_take_slot(self, class);
	}
	if (slot != SLOT_NONE)
		WRITE_ONCE(page_at(self->tmem, slot)->client, self->number);
	return slot;
}
