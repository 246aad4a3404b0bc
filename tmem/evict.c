/*
 * Eviction within the store. The client that holds most ephemeral pages for its weight gives up its
 * oldest page. That is weighted max-min fairness: what one does not use of its share others may
 * borrow, and who is below its share is never evicted from by another's put, as long as it uses the
 * store at all: pages of idle clients go first.
 *
 * No two client locks are ever held at once: whoever needs a page of another client releases its
 * own first and looks everything up again afterwards. Lock order: client before arena.
 */
#include "tmem/evict.h"

#include "tmem/aging.h"
#include "tmem/dense.h"
#include "tmem/drop.h"
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

bool client_is_idle(const struct tmem *tmem, const struct tmem_client *client)
{
	if (READ_ONCE(client->used))
		return false;
	/* Signed: it may have been used since the ticks were read. */
	return (s32)(READ_ONCE(tmem->ticks) - READ_ONCE(client->used_at)) > (s32)TMEM_IDLE_TICKS;
}

/* frames_to_give() of a client with pages that have no frame of their own. */
static __attribute__((noinline)) u64 dense_frames_to_give(const struct tmem_client *client)
{
	if (READ_ONCE(client->stats.ephemeral_pages) <=
		READ_ONCE(client->aside_pages[LIST_FILLED - LIST_CHEAP]))
		return 0;
	return client_ephemeral_frames(client);
}

/* What a client's share is charged with, 0 if it has no frame to give: pages that need none are
 * dropped for their slots only. */
static inline u64 frames_to_give(const struct tmem_client *client)
{
	return likely(!READ_ONCE(client->dense_pages[EPHEMERAL]))
		       ? READ_ONCE(client->stats.ephemeral_pages)
		       : dense_frames_to_give(client);
}

struct tmem_client *choose_victim(
	const struct tmem *tmem, struct tmem_client *self, enum tmem_class class)
{
	if (class == PERSISTENT)
		self = NULL;
	return furthest_over_share(
		tmem, self, self ? client_ephemeral_frames(self) + 1 : 0, frames_to_give);
}

/* evict_page(), for the common way. */
static inline __attribute__((always_inline)) u32 evict(struct tmem_client *client, u32 slot)
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

u32 evict_page(struct tmem_client *client, u32 slot)
{
	return evict(client, slot);
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

/* ---- Pages that need no frame -------------------------------------------------------- */

/* Pages that have a content in common, at most, for which it pays to drop them for its frame. */
#define SHARERS_DROPPED 16U

/* Whether it brings a frame nearer to drop the page with this content. */
static bool content_yields(struct tmem_client *client, u32 content)
{
	u32 refs = dense_references(client, content);

	return refs && refs <= SHARERS_DROPPED;
}

void evict_set_aside(struct tmem_client *client, u32 slot)
{
	struct page *page = page_at(client->tmem, slot);
	u32 mark = client->pools[page_pool(page)]->mark;
	u32 from = page_state(page) - SLOT_QUEUED;
	u32 list = content_kind(page->client) == CONTENT_FILLED ? LIST_FILLED : LIST_CHEAP;

	page_list_remove(client, &client->lists[from], page, slot);
	page_list_append(&client->lists[list], mark, slot, page);
	client->main_pages -= from == QUEUE_MAIN;
	client_count_aside(client, list, 1);
}

/* ---- Frames -------------------------------------------------------------------------- */

/* Pages that one look for a frame evicts or sets aside. */
#define PAGES_PER_LOOK 16U

/* The page that goes next for its frame, of a client that has one to give. */
static u32 next_for_frame(const struct tmem_client *client)
{
	return client_ordinary_pages(client) ? next_to_go(client)
					     : page_list_oldest(&client->lists[LIST_CHEAP]);
}

/* evict_frame() of a client some of whose pages may have no frame. */
static __attribute__((noinline)) u32 evict_dense(struct tmem_client *client)
{
	u32 slot = SLOT_NONE;

	for (u32 i = 0; i < PAGES_PER_LOOK && slot == SLOT_NONE; i++) {
		u32 oldest;
		struct page *page;

		if (!frames_to_give(client))
			break;
		oldest = next_for_frame(client);
		page = page_at(client->tmem, oldest);
		if (unlikely(block_is_virtual(block_of(client->tmem, oldest))) &&
			page_state(page) != SLOT_QUEUED_CHEAP &&
			!content_yields(client, page->client)) {
			evict_set_aside(client, oldest);
			continue;
		}
		slot = evict_page(client, oldest);
		if (unlikely(slot == SLOT_NONE)) {
			slot = take_from_magazine(client);
			dense_compact(client);
		}
	}
	return slot;
}

u32 evict_frame(struct tmem_client *client)
{
	if (unlikely(!client->alive || !client->stats.ephemeral_pages))
		return SLOT_NONE;
	return likely(!client->dense) ? evict(client, next_to_go(client)) : evict_dense(client);
}

u32 oldest_aside(const struct tmem_client *client)
{
	u32 slot = page_list_oldest(&client->lists[LIST_FILLED]);

	return slot == SLOT_NONE ? page_list_oldest(&client->lists[LIST_CHEAP]) : slot;
}

u32 evict_oldest(struct tmem_client *client)
{
	u64 ordinary = client_ordinary_pages(client);

	if (!client->alive || !client->stats.ephemeral_pages)
		return SLOT_NONE;
	return evict_page(client, client->stats.ephemeral_pages > 2 * ordinary
					  ? oldest_aside(client)
					  : next_to_go(client));
}

/* Steps of compaction that a put makes at most. */
#define PUT_COMPACTIONS 4U

/* Whether a client's packs may be made smaller. */
static inline bool any_is_sparse(const struct tmem *tmem)
{
	_Static_assert(TMEM_CLIENTS == 2 * 64, "two words of clients");
	return unlikely(READ_ONCE(tmem->sparse[0]) | READ_ONCE(tmem->sparse[1]));
}

/* Such a client, NULL if there is none. */
static struct tmem_client *sparse_client(const struct tmem *tmem)
{
	for (u32 word = 0; word < ARRAY_SIZE(tmem->sparse); word++) {
		u64 bits = READ_ONCE(tmem->sparse[word]);

		if (bits)
			return client_number(tmem, word * 64 + (u32)__builtin_ctzl(bits));
	}
	return NULL;
}

bool compact_any(const struct tmem *tmem, struct tmem_client *self)
{
	struct tmem_client *client = sparse_client(tmem);

	if (!client)
		return false;
	if (client == self) {
		dense_compact(self);
		return true;
	}
	if (self)
		client_unlock(self);
	client_lock(client);
	dense_compact(client);
	client_unlock(client);
	if (self)
		client_lock(self);
	return true;
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

/* A frame by compaction; may release @self's lock meanwhile. */
static __attribute__((noinline)) u32 compact_for(struct tmem_client *self, enum tmem_class class)
{
	u32 slot = SLOT_NONE;

	for (u32 i = 0; i < PUT_COMPACTIONS && slot == SLOT_NONE && compact_any(self->tmem, self);
		i++)
		slot = client_take_slot(self, class);
	return slot;
}

u32 evict_for(struct tmem_client *self, enum tmem_class class)
{
	u32 slot = take_from_magazine(self), looks = 0;

	if (slot == SLOT_NONE) {
		slot = borrow_idle_slot(self);
		if (any_is_sparse(self->tmem) && slot == SLOT_NONE)
			slot = compact_for(self, class);
	}
	while (slot == SLOT_NONE && looks < LOOKS_MAX) {
		struct tmem_client *victim = choose_victim(self->tmem, self, class);

		if (!victim)
			break;
		if (victim == self) {
			slot = evict_frame(self);
		} else {
			client_unlock(self);
			client_lock(victim);
			slot = evict_frame(victim);
			client_unlock(victim);
			client_lock(self);
		}
		if (unlikely(slot == SLOT_NONE)) {
			slot = client_take_slot(self, class);
			looks++;
			if (victim == self && !frames_to_give(self))
				break;
		}
	}
	if (slot != SLOT_NONE)
		WRITE_ONCE(page_at(self->tmem, slot)->client, self->number);
	return slot;
}
