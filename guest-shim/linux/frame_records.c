/*
 * See frame_records.h. A place of the table is guarded by one of some spinlocks, which are taken
 * under the locks of the disk's regions and in interrupts.
 */
#include "frame_records.h"

#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/page-flags.h>
#include <linux/random.h>
#include <linux/spinlock.h>
#include <linux/xxhash.h>

#define LOCKS 64

static struct {
	struct precache_record *places;
	u64 count;
	u64 seed; /* of sums: nobody makes two contents that have one */
	spinlock_t locks[LOCKS];
} records;

/* The number behind that of the last frame of RAM. */
static u64 __init frames_end(void)
{
	u64 end = 1;
	int node;

	for_each_online_node(node) end = max_t(u64, end, node_end_pfn(node));
	return end;
}

int __init frame_records_create(void)
{
	records.count = frames_end();
	records.seed = get_random_u64();
	for (unsigned int i = 0; i < LOCKS; i++)
		spin_lock_init(&records.locks[i]);
	records.places = kvcalloc(records.count, sizeof(*records.places), GFP_KERNEL);
	return records.places ? 0 : -ENOMEM;
}

void frame_records_destroy(void)
{
	kvfree(records.places);
}

u64 frame_sum(struct page *frame)
{
	return xxh64(page_address(frame), PAGE_SIZE, records.seed);
}

bool frame_is_filled(struct page *frame)
{
	struct folio *folio = page_folio(frame);

	return !folio_test_slab(folio) && folio_test_locked(folio) && !folio_test_uptodate(folio) &&
	       !folio_test_swapcache(folio) && !folio_test_anon(folio) && READ_ONCE(folio->mapping);
}

/* The frame's place, locked. */
static struct precache_record *lock_place(u64 frame, unsigned long *flags)
{
	u64 place = frame % records.count;

	spin_lock_irqsave(&records.locks[place % LOCKS], *flags);
	return &records.places[place];
}

static void unlock_place(u64 frame, unsigned long flags)
{
	spin_unlock_irqrestore(&records.locks[frame % records.count % LOCKS], flags);
}

void frame_record_begin(struct page *frame, u64 page, u64 state, u64 read)
{
	u64 number = page_to_pfn(frame);
	unsigned long flags;

	precache_read_begins(lock_place(number, &flags), number, page, state, read);
	unlock_place(number, flags);
}

void frame_record_end(struct page *frame, u64 read)
{
	u64 number = page_to_pfn(frame);
	u64 sum = frame_sum(frame);
	unsigned long flags;

	precache_read_ends(lock_place(number, &flags), number, read, sum);
	unlock_place(number, flags);
}

bool frame_record_take(struct page *frame, struct precache_record *taken)
{
	u64 number = page_to_pfn(frame);
	unsigned long flags;
	bool is_known = precache_take(lock_place(number, &flags), number, taken);

	unlock_place(number, flags);
	return is_known;
}
