/*
 * The audit of contents (tmem/dense.h). The world is stopped, so no lock is taken.
 */
#include <abi/errno.h>

#include "tmem/dedup.h"
#include "tmem/dense.h"

bool dense_content_is_valid(const struct tmem_client *client, u32 slot, u32 content)
{
	const struct dense *dense = client->dense;
	u32 id = content & CONTENT_ID_MASK;

	if (!dense)
		return false;
	switch (content_kind(content)) {
	case CONTENT_FILLED:
		return !id || id >> FILLED_ID_SHIFT < dense->filled.numbers;
	case CONTENT_SHARED:
		return id && id >> SHARED_ID_SHIFT < dense->shared.numbers &&
		       shared_at(&dense->shared, id)->refs;
	case CONTENT_PACKED:
		return pack_owner(&dense->pack, id) == slot;
	case CONTENT_COMMON:
		return client->group && id &&
		       id >> COMMON_ID_SHIFT < client->group->contents.numbers &&
		       common_at(client->group, id)->refs;
	}
	return false;
}

struct tables {
	const struct tmem_client *client;
	u64 shared[TMEM_CLASSES];
	enum tmem_class class;
};

/* A frame in a table of hashes. */
static bool check_frame(void *argument, u32 slot)
{
	struct tables *tables = argument;
	const struct tmem_client *client = tables->client;
	const struct page *page;

	if (!arena_block(client->tmem, slot / BLOCK_PAGES))
		return false;
	page = page_at(client->tmem, slot);
	if (page_client(page) != client->number || !page_hash(page))
		return false;
	if (page_state(page) == SLOT_SHARED) {
		tables->shared[tables->class]++;
		return shared_at(&client->dense->shared, page->owner)->slot == slot;
	}
	return tables->class == PERSISTENT ? page_state(page) == SLOT_PERSISTENT
					   : page_is_queued(page);
}

/* All references that the records of shared contents count. */
static u64 count_references(const struct dense *dense)
{
	u64 refs = 0;

	for (u32 leaf = slab_next_leaf(&dense->shared, 0); leaf != ~0U;
		leaf = slab_next_leaf(&dense->shared, leaf + 1)) {
		const struct slab_leaf *header = directory_leaf(&dense->shared.leaves, leaf);

		for (u32 place = slab_first_place(sizeof(struct shared_content));
			place < header->fresh; place++) {
			const struct shared_content *shared = shared_at(
				&dense->shared, leaf << SHARED_ID_SHIFT | place);

			refs += shared->refs;
		}
	}
	return refs;
}

/* What the pools count, against what was found. */
static bool pools_agree(const struct tmem_client *client, const u64 pages[CONTENT_KINDS])
{
	u64 counted[CONTENT_KINDS] = {0}, bytes = 0;
	bool agree = true;

	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++) {
		const struct pool *pool = client->pools[id];

		for (unsigned kind = 0; pool && kind < CONTENT_KINDS; kind++)
			counted[kind] += pool->dense_pages[kind];
		bytes += pool ? pool->packed_bytes : 0;
	}
	for (unsigned kind = 0; kind < CONTENT_KINDS; kind++)
		agree &= counted[kind] == pages[kind];
	return agree && bytes == client->dense->pack.bytes &&
	       client->dense->shared_pages == pages[CONTENT_SHARED] + pages[CONTENT_COMMON];
}

int dense_audit(const struct tmem_client *client, const u64 pages[CONTENT_KINDS],
	void (*visit)(void *page, void *argument), void *argument)
{
	const struct dense *dense = client->dense;
	const struct pack_class *persistent = &dense->pack.classes[PERSISTENT];
	struct tables tables = {.client = client};
	u64 refs = count_references(dense);
	bool bad = false;

	for (unsigned class = 0; class < TMEM_CLASSES; class ++) {
		tables.class = (enum tmem_class) class;
		if (table_check(&dense->contents[class], check_frame, &tables) !=
				dense->contents[class].entries ||
			tables.shared[class] != dense->shared_frames[class] ||
			client->dense_frames[class] !=
				dense->shared_frames[class] + dense->pack.classes[class].frames) {
			tmem_port_complain(
				"tmem audit: client %u class %u: contents", client->number, class);
			bad = true;
		}
		table_visit(&dense->contents[class], visit, argument);
	}
	if (dense->common[EPHEMERAL] + dense->common[PERSISTENT] != pages[CONTENT_COMMON] ||
		refs != pages[CONTENT_SHARED] || dense->pack.fragments != pages[CONTENT_PACKED] ||
		dense->pages[EPHEMERAL] + dense->pages[PERSISTENT] !=
			pages[CONTENT_FILLED] + refs + dense->pack.fragments) {
		tmem_port_complain(
			"tmem audit: client %u: %llu shares of %llu, %llu fragments of %llu",
			client->number, (unsigned long long)refs,
			(unsigned long long)pages[CONTENT_SHARED],
			(unsigned long long)dense->pack.fragments,
			(unsigned long long)pages[CONTENT_PACKED]);
		bad = true;
	}
	if (!pools_agree(client, pages)) {
		tmem_port_complain("tmem audit: client %u: contents of its pools", client->number);
		bad = true;
	}
	if (client->persistent_excess !=
		persistent->frames - MIN(persistent->frames, persistent->fragments)) {
		tmem_port_complain("tmem audit: client %u: %llu frames beyond persistent pages",
			client->number, (unsigned long long)client->persistent_excess);
		bad = true;
	}
	if (pack_audit(&dense->pack, visit, argument))
		bad = true;
	slab_visit(&dense->lines, visit, argument);
	slab_visit(&dense->shared, visit, argument);
	slab_visit(&dense->filled, visit, argument);
	visit((void *)dense, argument);
	return bad ? -SLUICE_EINVAL : 0;
}
