/*
 * The audit: visits every frame and page the store holds, and checks index, lists, reverse map and
 * accounts against each other. The world is stopped, so no lock is taken.
 */
#include <string.h>

#include <abi/errno.h>

#include "tmem/aging.h"
#include "tmem/dedup.h"
#include "tmem/dense.h"
#include "tmem/index.h"
#include "tmem/page_list.h"
#include "tmem/filter.h"

struct audit {
	const struct tmem *tmem;
	void (*visit)(void *page, void *argument);
	void *argument;
	u64 metadata_pages;
	u64 frames;
	u64 slots_used; /* with a page in them */
	u64 slots_idle; /* neither free nor used: those must lie in magazines */
	u64 in_magazines;
	u64 slots_dense; /* with the contents of pages that have none of their own */
	u64 dense_frames;
	u64 contents[CONTENT_KINDS]; /* of the client being looked at: virtual pages by kind */
	u64 common[TMEM_GROUPS];     /* pages with a content of each group */
	bool bad;
};

#define FAIL(audit, ...)                                                                           \
	do {                                                                                       \
		tmem_port_complain("tmem audit: " __VA_ARGS__);                                    \
		(audit)->bad = true;                                                               \
	} while (0)

static void visit_metadata(void *page, void *argument)
{
	struct audit *audit = argument;

	audit->metadata_pages++;
	audit->visit(page, audit->argument);
}

/* ---- Blocks ------------------------------------------------------------------------- */

static bool bit(const u64 *bits, u32 n)
{
	return bits[n / 64] >> n % 64 & 1;
}

static void audit_slot(struct audit *audit, const struct block *block, u32 place)
{
	const struct page *page = page_at(audit->tmem, block->number * BLOCK_PAGES + place);
	bool is_free = bit(block->free, place), is_absent = bit(block->absent, place);
	enum slot_state state = page_state(page);
	const struct tmem_client *client;

	if (is_absent != (state == SLOT_ABSENT) || (is_free && state != SLOT_EMPTY)) {
		FAIL(audit, "block %u slot %u: state %u, free %d, absent %d", block->number, place,
			state, is_free, is_absent);
		return;
	}
	if (is_absent)
		return;
	if (!block_is_virtual(block)) {
		audit->frames++;
		audit->visit(block_frame(block, place), audit->argument);
	}
	if (is_free)
		return;
	if (block_is_virtual(block) && state != SLOT_EMPTY) {
		/* Its record has a content in place of a client: see audit_page(). */
		audit->slots_used++;
		return;
	}
	client = audit->tmem->clients[page_client(page)];
	/* Who brought it may be gone: dedup_audit() knows the contents of groups. */
	if (state == SLOT_COMMON) {
		audit->slots_dense++;
		return;
	}
	if (!client || !client->alive || state > SLOT_PACKED) {
		FAIL(audit, "block %u slot %u: state %u, client %u", block->number, place, state,
			page_client(page));
		return;
	}
	audit->slots_used += state == SLOT_PERSISTENT || page_is_queued(page);
	audit->slots_idle += state == SLOT_EMPTY;
	audit->slots_dense += state == SLOT_SHARED || state == SLOT_PACKED;
}

static void visit_leaves(struct audit *audit, const struct directory *directory)
{
	for (u32 i = 0; i < directory->reach; i++)
		if (directory_leaf(directory, i))
			visit_metadata(directory_leaf(directory, i), audit);
	directory_visit(directory, visit_metadata, audit);
}

static void audit_blocks(struct audit *audit)
{
	const struct arena *arena = &audit->tmem->arena;

	for (u32 number = 1; number < arena->block_numbers; number++) {
		struct block *block = arena_block(audit->tmem, number);
		u32 present = 0, free_count = 0;

		if (!block)
			continue;
		if (block->frames)
			visit_metadata(block->frames, audit);
		for (u32 place = 0; place < BLOCK_PAGES; place++) {
			audit_slot(audit, block, place);
			present += !bit(block->absent, place);
			free_count += bit(block->free, place);
		}
		if (block->number != number || present != block->present ||
			free_count != block->free_count)
			FAIL(audit, "block %u (%u): %u of %u slots, %u of %u free", number,
				block->number, present, block->present, free_count,
				block->free_count);
		if (block->open != (block->frames && present < BLOCK_PAGES) ||
			(block->open && block->open_class != block->class))
			FAIL(audit, "block %u of %u frames is open %d for class %u", number,
				present, block->open, block->open_class);
	}
	visit_leaves(audit, &arena->blocks);
	visit_leaves(audit, &arena->records);
	for (void **page = arena->pages; page; page = *page)
		audit->visit(page, audit->argument);
}

/* ---- Pools -------------------------------------------------------------------------- */

static void audit_page(
	struct audit *audit, struct pool *pool, const struct object *object, u32 index, u32 slot)
{
	const struct tmem_client *client = pool->client;
	const struct page *page;
	struct position position;

	if (!arena_block(audit->tmem, slot / BLOCK_PAGES)) {
		FAIL(audit, "client %u pool %u: page in slot %x of no block", client->number,
			pool->id, slot);
		return;
	}
	page = page_at(audit->tmem, slot);
	if (block_is_virtual(block_of(audit->tmem, slot))) {
		audit->contents[content_kind(page->client)]++;
		if (!pool->modes || !dense_content_is_valid(client, slot, page->client))
			FAIL(audit, "client %u pool %u slot %x: content %x", client->number,
				pool->id, slot, page->client);
	} else if (page_client(page) != client->number) {
		FAIL(audit, "client %u slot %x belongs to client %u", client->number, slot,
			page_client(page));
	}
	if (page_pool(page) != pool->id ||
		(pool->persistent ? page_state(page) != SLOT_PERSISTENT : !page_is_queued(page)))
		FAIL(audit, "client %u pool %u slot %x: pool %u, client %u, state %u",
			client->number, pool->id, slot, page_pool(page), page->client,
			page_state(page));
	if (pool_find(pool, object->key, index, &position) != slot)
		FAIL(audit, "client %u pool %u: slot %x cannot be found", client->number, pool->id,
			slot);
	pool_locate(pool, slot, &position);
	if (position.object != object)
		FAIL(audit, "client %u slot %x points to object %u", client->number, slot,
			position.object_id);
	if (pool->filter && !filter_finds(pool->filter, client_filter_hash(pool, &position), slot))
		FAIL(audit, "client %u slot %x is not in its pool's miss filter", client->number,
			slot);
}

/* Whether the group's places say which of its pages are in the sample; if the object's sum is not
 * what it was when the group was made, nobody asks them. */
static bool places_are_right(
	const struct pool *pool, const struct object *object, const struct group *group)
{
	u64 sum = pool_sum_of_key(pool, object->key);

	for (u32 place = 0; place < GROUP_PAGES; place++)
		if (!pool->filtered &&
			!(group->places[place] & PLACE_SAMPLED) !=
				!pool_samples(pool, sum, group->number * GROUP_PAGES + place))
			return false;
	return true;
}

/* Returns the pages of the object; *@groups grows by its groups. */
static u64 audit_object(
	struct audit *audit, struct pool *pool, const struct object *object, u64 *groups)
{
	u64 pages = 0, before = *groups;
	u32 prev = 0;

	if (!object->grouped) {
		audit_page(audit, pool, object, object->index, object->first);
		return 1;
	}
	for (u32 id = object->first; id; prev = id, id = group_at(pool, id)->next) {
		const struct group *group = group_at(pool, id);
		u32 count = 0;

		++*groups;
		for (u32 place = 0; place < GROUP_PAGES; place++) {
			u32 slot = group_slot(group, place);

			if (!slot)
				continue;
			count++;
			audit_page(audit, pool, object, group->number * GROUP_PAGES + place, slot);
		}
		if (!places_are_right(pool, object, group))
			FAIL(audit, "client %u pool %u group %u: the sample is not right",
				pool->client->number, pool->id, id);
		if (group->prev != prev || group->count != count || !count)
			FAIL(audit, "client %u pool %u group %u: %u pages, %u counted",
				pool->client->number, pool->id, id, group->count, count);
		pages += count;
	}
	if (*groups - before != object->groups)
		FAIL(audit, "client %u pool %u: an object of %u groups has %llu",
			pool->client->number, pool->id, object->groups,
			(unsigned long long)(*groups - before));
	return pages;
}

static bool any_id(void *argument, u32 id)
{
	(void)argument;
	return id != 0;
}

/* A filter that is built for the first time has not counted all pages yet. */
static void audit_filter(struct audit *audit, const struct pool *pool, u64 pages)
{
	const struct filter *filter = pool->filter;

	if ((filter->entries != pages && filter->parts[filter->now].blocks) ||
		!filter_is_sound(filter))
		FAIL(audit, "client %u pool %u: the miss filter counts %llu pages of %llu",
			pool->client->number, pool->id, (unsigned long long)filter->entries,
			(unsigned long long)pages);
}

/* What is kept of the last lookup, and of what the common paths have to think of. */
static bool recent_is_right(const struct pool *pool)
{
	const struct object *object = pool->recent_object;
	u32 group_id = pool_recent_group_id(pool);

	if (object && (object != object_at(pool, pool->recent_object_id) ||
			      memcmp(object->key, pool->recent_key, sizeof(object->key)) != 0 ||
			      pool->recent_sum != pool_sum_of_key(pool, object->key)))
		return false;
	if (pool->absent_number != NO_GROUP && !object)
		return false;
	return pool->recent_number == NO_GROUP ||
	       (object && pool->recent_group == group_at(pool, group_id) &&
		       pool->recent_group->number == pool->recent_number &&
		       pool->recent_group->object == pool->recent_object_id);
}

static bool flags_are_right(const struct pool *pool)
{
	return pool->filtered == (pool->filter != NULL) &&
	       pool->aged == (pool->client->aging && !pool->persistent);
}

static void audit_pool(struct audit *audit, struct pool *pool, u64 *pages)
{
	u64 objects = 0, groups = 0, before = *pages;

	/* Before any lookup is made here. */
	if (!recent_is_right(pool) || !flags_are_right(pool))
		FAIL(audit, "client %u pool %u: the last lookup or the flags are not right",
			pool->client->number, pool->id);
	for (u32 leaf = slab_next_leaf(&pool->objects, 0); leaf != ~0U;
		leaf = slab_next_leaf(&pool->objects, leaf + 1)) {
		for (u32 place = 1; place <= pool->objects.per_leaf; place++) {
			const struct object *object = object_at(
				pool, leaf << OBJECT_ID_SHIFT | place);

			if (!object->first)
				continue;
			objects++;
			*pages += audit_object(audit, pool, object, &groups);
		}
	}
	if (objects != slab_used(&pool->objects) || objects != pool->object_table.entries ||
		table_check(&pool->object_table, any_id, NULL) != objects)
		FAIL(audit, "client %u pool %u: %llu objects, %u records, %u in the table",
			pool->client->number, pool->id, (unsigned long long)objects,
			slab_used(&pool->objects), pool->object_table.entries);
	if (groups != slab_used(&pool->groups) || groups != pool->group_table.entries ||
		table_check(&pool->group_table, any_id, NULL) != groups)
		FAIL(audit, "client %u pool %u: %llu groups, %u records, %u in the table",
			pool->client->number, pool->id, (unsigned long long)groups,
			slab_used(&pool->groups), pool->group_table.entries);
	if (pool->filter)
		audit_filter(audit, pool, *pages - before);
	if (!pool->shared && pool_pages(pool) != *pages - before)
		FAIL(audit, "client %u pool %u: %llu pages, %llu by what happened",
			pool->client->number, pool->id, (unsigned long long)(*pages - before),
			(unsigned long long)pool_pages(pool));
	pool_visit(pool, visit_metadata, audit);
}

/* ---- Clients ------------------------------------------------------------------------ */

static void audit_magazines(struct audit *audit, const struct tmem_client *client)
{
	for (unsigned class = 0; class < SLOT_CLASSES; class ++) {
		const struct magazine *magazine = &client->magazines[class];

		for (u32 i = 0; i < magazine->count; i++) {
			u32 slot = magazine->slots[i];

			const struct page *page = page_at(audit->tmem, slot);

			audit->in_magazines++;
			if (page_state(page) != SLOT_EMPTY || page_client(page) != client->number)
				FAIL(audit, "client %u: slot %x is not its own", client->number,
					slot);
		}
	}
}

/* Returns the pages in one of a client's queues. */
static u64 audit_list(struct audit *audit, const struct tmem_client *client, unsigned queue)
{
	const struct page_list *list = &client->lists[queue];
	u64 listed = 0;
	u32 prev = 0;

	for (u32 slot = page_list_oldest(list); slot && listed <= client->stats.ephemeral_pages;
		listed++) {
		const struct page *page = page_at(audit->tmem, slot);
		const struct pool *pool = client->pools[page_pool(page)];

		if ((page->prev & SLOT_MASK) != prev || page_state(page) != SLOT_QUEUED + queue ||
			!pool || pool->persistent ||
			(queue >= LIST_CHEAP &&
				(!block_is_virtual(block_of(audit->tmem, slot)) ||
					(content_kind(page->client) == CONTENT_FILLED) !=
						(queue == LIST_FILLED))))
			FAIL(audit, "client %u slot %x does not belong into the queue",
				client->number, slot);
		prev = slot;
		slot = page->next & SLOT_MASK;
	}
	if (list->newest != prev ||
		list->newest_page != (prev ? page_at(audit->tmem, prev) : &list->head))
		FAIL(audit, "client %u queue %u ends with slot %x in place of %x", client->number,
			queue, list->newest, prev);
	if ((queue == QUEUE_MAIN && listed != client->main_pages) ||
		(queue >= LIST_CHEAP && listed != client->aside_pages[queue - LIST_CHEAP]))
		FAIL(audit, "client %u queue %u: %llu pages, not as many as counted",
			client->number, queue, (unsigned long long)listed);
	return listed;
}

static bool half_is_right(const struct tmem_client *client)
{
	const struct slot_half *half = &client->half;
	u32 first = half->number << HALF_SHIFT;
	const struct block *block;

	if (half->number == HALF_NONE)
		return true;
	block = arena_block(client->tmem, first / BLOCK_PAGES);
	return block && block == half->block && block->base &&
	       half->records == block_page(block, first) &&
	       half->frames == block_frame(block, first);
}

static void audit_client(struct audit *audit, struct tmem_client *client)
{
	const struct tmem_client_stats *stats = &client->stats;
	u64 pages[TMEM_CLASSES] = {0, 0}, listed = 0;

	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++)
		if (client->pools[id])
			audit_pool(audit, client->pools[id],
				&pages[client->pools[id]->persistent ? PERSISTENT : EPHEMERAL]);
	for (unsigned queue = 0; queue < LISTS; queue++)
		listed += audit_list(audit, client, queue);
	if (listed != stats->ephemeral_pages || pages[EPHEMERAL] != listed ||
		pages[PERSISTENT] != stats->persistent_pages)
		FAIL(audit, "client %u: %llu + %llu pages, %llu + %llu counted, %llu listed",
			client->number, (unsigned long long)stats->ephemeral_pages,
			(unsigned long long)stats->persistent_pages,
			(unsigned long long)pages[EPHEMERAL], (unsigned long long)pages[PERSISTENT],
			(unsigned long long)listed);
	for (const struct filter *dead = client->dead_filters; dead; dead = dead->next_dead)
		filter_visit(dead, visit_metadata, audit);
	if (client->aging)
		aging_visit(client->aging, visit_metadata, audit);
	audit_magazines(audit, client);
	if (!half_is_right(client))
		FAIL(audit, "client %u: slots %x00 and up are not where it thinks", client->number,
			client->half.number);
	if (client->dense) {
		audit->bad |= dense_audit(client, audit->contents, visit_metadata, audit) != 0;
		audit->dense_frames += client->dense_frames[EPHEMERAL] +
				       client->dense_frames[PERSISTENT];
	}
	if (client->group)
		audit->common[client->group->number - 1] += audit->contents[CONTENT_COMMON];
	memset(audit->contents, 0, sizeof(audit->contents));
}

int tmem_audit(struct tmem *tmem, void (*visit)(void *page, void *argument), void *argument)
{
	struct audit audit = {.tmem = tmem, .visit = visit, .argument = argument};
	u64 persistent = 0, used = 0;

	visit_metadata(tmem, &audit);
	visit_metadata(tmem->content_key.words, &audit);
	audit_blocks(&audit);
	for (unsigned number = 0; number < TMEM_CLIENTS; number++) {
		struct tmem_client *client = tmem->clients[number];

		if (!client)
			continue;
		visit_metadata(client, &audit);
		if (!client->alive)
			continue;
		audit_client(&audit, client);
		persistent += client->stats.persistent_pages + client->persistent_excess;
		used += client->stats.persistent_pages + client->stats.ephemeral_pages;
	}
	for (u32 i = 0; i < TMEM_GROUPS; i++)
		if (tmem->groups[i])
			audit.bad |= dedup_audit(tmem->groups[i], audit.common[i], visit_metadata,
					     &audit) != 0;
	audit.dense_frames += dedup_frames(tmem);
	if (audit.frames != tmem->arena.frames || audit.slots_used != used ||
		audit.slots_idle != audit.in_magazines || audit.slots_dense != audit.dense_frames ||
		audit.metadata_pages != tmem->arena.metadata_pages ||
		persistent != tmem->persistent_held)
		FAIL(&audit,
			"%llu of %llu frames, %llu of %llu metadata pages, %llu pages in %llu "
			"slots",
			(unsigned long long)audit.frames, (unsigned long long)tmem->arena.frames,
			(unsigned long long)audit.metadata_pages,
			(unsigned long long)tmem->arena.metadata_pages, (unsigned long long)used,
			(unsigned long long)audit.slots_used);
	return audit.bad ? -SLUICE_EINVAL : 0;
}
