/*
 * The audit of the store (tmem/tmem.h): visits every frame and page that it holds, and compares
 * what blocks, pools and clients say with each other.
 */
#include "tmem/audit.h"

#include <string.h>

#include <abi/errno.h>

#include "tmem/aging.h"
#include "tmem/dedup.h"
#include "tmem/filter.h"
#include "tmem/index.h"
#include "tmem/page_list.h"

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
		filter_visit(dead, audit_visit_metadata, audit);
	if (client->aging)
		aging_visit(client->aging, audit_visit_metadata, audit);
	audit_magazines(audit, client);
	if (!half_is_right(client))
		FAIL(audit, "client %u: slots %x00 and up are not where it thinks", client->number,
			client->half.number);
	if (client->dense) {
		audit->bad |= dense_audit(client, audit->contents, audit_visit_metadata, audit) !=
			      0;
		audit->dense_frames += client->dense_frames[EPHEMERAL] +
				       client->dense_frames[PERSISTENT];
	}
	if (client->group)
		audit->common[client->group->number - 1] += audit->contents[CONTENT_COMMON];
	memset(audit->contents, 0, sizeof(audit->contents));
}

/* ---- The store ---------------------------------------------------------------------- */

int tmem_audit(struct tmem *tmem, void (*visit)(void *page, void *argument), void *argument)
{
	struct audit audit = {.tmem = tmem, .visit = visit, .argument = argument};
	u64 persistent = 0, used = 0;

	audit_visit_metadata(tmem, &audit);
	audit_visit_metadata(tmem->content_key.words, &audit);
	audit_blocks(&audit);
	for (unsigned number = 0; number < TMEM_CLIENTS; number++) {
		struct tmem_client *client = tmem->clients[number];

		if (!client)
			continue;
		audit_visit_metadata(client, &audit);
		if (!client->alive)
			continue;
		audit_client(&audit, client);
		persistent += client->stats.persistent_pages + client->persistent_excess;
		used += client->stats.persistent_pages + client->stats.ephemeral_pages;
	}
	for (u32 i = 0; i < TMEM_GROUPS; i++)
		if (tmem->groups[i])
			audit.bad |= dedup_audit(tmem->groups[i], audit.common[i],
					     audit_visit_metadata, &audit) != 0;
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
