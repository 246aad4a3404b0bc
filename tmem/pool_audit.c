/*
 * The audit of pools (tmem/audit.h): the index from its objects down to the pages, the way back
 * from there, and the counts.
 */
#include "tmem/audit.h"

#include <string.h>

#include "tmem/filter.h"
#include "tmem/index.h"

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

void audit_pool(struct audit *audit, struct pool *pool, u64 *pages)
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
	pool_visit(pool, audit_visit_metadata, audit);
}
