/*
 * Flushes of objects (tmem/tmem.h), for guests and where a pool goes: whole groups at once. Pages
 * that were put one after the other stand side by side in a list and leave it together, and their
 * slots go back to the arena in one call. The client's lock is held.
 */
#include <abi/errno.h>

#include "tmem/drop.h"
#include "tmem/page_list.h"
#include "tmem/queues.h"
#include "tmem/shared.h"

/* Pages side by side in a list. */
struct run {
	struct page_list *list;
	u32 expected; /* page.prev of a page that would be the next */
	u32 prev;     /* slot before the first */
	u32 first, last;
	struct page *last_page;
	u32 count;
};

static void end_run(struct tmem_client *client, const struct run *run)
{
	struct page *before = run->prev ? client_page(client, run->prev) : &run->list->head;
	u32 next;

	if (!run->count)
		return;
	next = run->last_page->next & SLOT_MASK;
	before->next ^= run->first ^ next;
	if (next) {
		struct page *after = client_page(client, next);

		WRITE_ONCE(after->prev, after->prev ^ run->last ^ run->prev);
	} else {
		run->list->newest = run->prev;
		run->list->newest_page = before;
	}
	if (run->list == &client->lists[QUEUE_MAIN])
		client->main_pages -= run->count;
}

static struct run begin_run(struct tmem_client *client, const struct page *page, u32 slot)
{
	return (struct run){
		.list = &client->lists[page_state(page) - SLOT_QUEUED],
		.prev = page->prev & SLOT_MASK,
		.first = slot,
	};
}

static void drop_contents(struct tmem_client *client, struct pool *pool, const struct group *group)
{
	for (u32 place = 0; place < GROUP_PAGES; place++) {
		u32 slot = group_slot(group, place);

		if (slot)
			client_drop_content(client, pool, slot, page_at(client->tmem, slot));
	}
}

/* All pages of the group leave their lists; their slots in @slots. Returns how many. */
static u32 unlist_group(
	struct tmem_client *client, const struct group *group, u32 slots[GROUP_PAGES])
{
	struct run run = {.list = client->lists};
	u32 count = 0;

	for (u32 place = 0; count < group->count; place++) {
		u32 slot = group_slot(group, place);
		struct page *page;

		if (!slot)
			continue;
		page = client_is_near(client, slot) ? near_page(client, slot)
						    : page_at(client->tmem, slot);
		if (page->prev != run.expected) {
			end_run(client, &run);
			run = begin_run(client, page, slot);
		}
		run.expected = run.list->state | slot;
		run.last = slot;
		run.last_page = page;
		run.count++;
		page_set_state(page, SLOT_EMPTY);
		slots[count++] = slot;
	}
	end_run(client, &run);
	return count;
}

/* Drops a whole group of an ephemeral pool without a miss filter; true if its object is gone. */
static bool flush_whole_group(
	struct tmem_client *client, struct pool *pool, const struct position *position)
{
	bool only_group = !position->group->next && !position->group->prev;
	u32 slots[GROUP_PAGES];
	u32 count;

	if (pool->modes)
		drop_contents(client, pool, position->group);
	count = unlist_group(client, position->group, slots);
	pool_remove_group(client->tmem, pool, position);
	pool->counts.flushed_pages += count;
	WRITE_ONCE(client->stats.ephemeral_pages, client->stats.ephemeral_pages - count);
	arena_give(client->tmem, slots, count);
	if (!client->stats.ephemeral_pages)
		client_no_pages_left(client, EPHEMERAL);
	return only_group;
}

/* Drops up to *@pages pages of a group one by one; true if the object is gone with them. */
static bool flush_group(
	struct tmem_client *client, struct pool *pool, struct position *position, unsigned *pages)
{
	struct group *group = position->group;
	bool only_group = !group->next && !group->prev;
	u32 left = group->count;

	for (u32 place = 0; left && *pages; place++) {
		position->slot = group_slot(group, place);
		if (!position->slot)
			continue;
		--*pages;
		--left;
		client_drop_and_keep_slot(client, pool, position);
		pool->counts.flushed_pages++;
	}
	return only_group && !left;
}

bool client_flush_object(
	struct tmem_client *client, struct pool *pool, u32 object_id, unsigned *pages)
{
	struct position position = {
		.object_id = object_id,
		.object = object_at(pool, object_id),
	};

	while (*pages && position.object->grouped) {
		u32 count;
		bool gone;

		position.group_id = position.object->first;
		position.group = group_at(pool, position.group_id);
		count = position.group->count;
		if (!pool->persistent && !pool->filter && count <= *pages) {
			gone = flush_whole_group(client, pool, &position);
			*pages -= count;
		} else {
			gone = flush_group(client, pool, &position, pages);
		}
		if (gone)
			return true;
	}
	if (!*pages)
		return false;
	--*pages;
	position.group = NULL;
	position.slot = position.object->first;
	client_drop_and_keep_slot(client, pool, &position);
	pool->counts.flushed_pages++;
	return true;
}

int client_flush_object_step(struct tmem_client *client, const struct tmem_handle *handle)
{
	struct pool *pool = named_pool(client, handle->pool);
	unsigned pages = TMEM_STEP_PAGES;
	u32 object_id;

	if (unlikely(!pool || pool->hidden)) {
		client->stats.flushes++;
		return -SLUICE_EBADF;
	}
	if (unlikely(pool->shared))
		return POOL_IS_SHARED;
	pool->counts.flushes++;
	object_id = pool_find_object(pool, handle->object);
	if (!object_id || client_flush_object(client, pool, object_id, &pages))
		return 0;
	return -SLUICE_EAGAIN;
}

int tmem_flush_object(struct tmem_client *client, const struct tmem_handle *handle)
{
	int result;

	client_lock(client);
	result = client_flush_object_step(client, handle);
	client_unlock(client);
	return unlikely(result == POOL_IS_SHARED) ? shared_flush_object(client, handle) : result;
}
