/*
 * Frames that hold contents are given back (tmem/dense.h): by compaction, and one by one where
 * reclaim empties a block.
 */
#include "tmem/dense.h"

#include "tmem/dense_equal.h"

/* Fragments moved in one step of compaction. */
#define COMPACTED_AT_ONCE 8U

/* ---- Compaction --------------------------------------------------------------------- */

/* The fragment's page has this record now. */
static void packed_moved(void *argument, u32 owner, u32 old_id, u32 new_id)
{
	struct tmem_client *client = argument;

	(void)old_id;
	WRITE_ONCE(page_at(client->tmem, owner)->client, content_make(CONTENT_PACKED, new_id));
}

bool dense_compact(struct tmem_client *client)
{
	struct dense *dense = client->dense;
	u32 gained;

	if (!dense || !dense->sparse)
		return false;
	gained = pack_compact(&dense->pack, COMPACTED_AT_ONCE, packed_moved, client);
	/* Not again before there is a frame's worth more to be won. */
	dense->futile = gained ? 0 : dense->pack.free + FRAME_GRANULES;
	dense_account(client);
	return gained != 0;
}

/* ---- Reclaim ------------------------------------------------------------------------ */

enum tmem_class dense_class(const struct tmem_client *client, u32 slot)
{
	const struct page *page = page_at(client->tmem, slot);

	if (page_state(page) == SLOT_SHARED)
		return (enum tmem_class)(page->next >> SLOT_BITS);
	return (enum tmem_class)run_at(&client->dense->pack, page->owner)->class;
}

bool dense_vacate(struct tmem_client *client, u32 slot, u32 *to,
	void (*evict)(struct tmem_client *client, u32 slot))
{
	struct dense *dense = client->dense;
	struct page *page = page_at(client->tmem, slot);
	u32 owners[RUN_FRAGMENTS];
	u32 run = page->owner, count;

	if (page_state(page) == SLOT_SHARED) {
		if (!*to)
			return false;
		equal_move(client, slot, *to);
		*to = SLOT_NONE;
		return true;
	}
	if (*to) {
		pack_replace_frame(&dense->pack, run, slot, *to);
		*to = SLOT_NONE;
		return true;
	}
	count = pack_frame_owners(&dense->pack, run, slot, owners);
	dense->vacating = true;
	for (u32 i = 0; i < count; i++)
		evict(client, owners[i]);
	dense->vacating = false;
	/* With its last fragment the run may have given the frame back by itself. */
	if (page_state(page) != SLOT_PACKED || page->owner != run)
		return false;
	if (pack_detach_frame(&dense->pack, run, slot))
		return false;
	dense_account(client);
	return true;
}
