/*
 * See cache_disk.h. A bio goes to the backing disk as a clone; what tmem has of a read is cut out
 * of it. precache.h says which frames that leave the page cache may go to tmem, and why none of
 * them is ever older than the disk.
 *
 * What tmem has of a page, and the page's bit, are guarded by the lock of its region (page_map.h).
 * Frames leave under the lock of a file's pages (evictions.h), which interrupts take, and so it is
 * held with interrupts off.
 *
 * On the way of a page that leaves nothing is allocated and nothing sleeps. Clones come from a pool
 * that always has some: Linux writes when memory has run out.
 */
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include "cache_disk.h"

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sched.h>

#include "block_layer.h"
#include "counters.h"
#include "evictions.h"
#include "frame_records.h"
#include "hypercall.h"
#include "page_map.h"
#include "precache.h"

#define DISK_NAME   "sluice_cache0"
#define STATES_MAX  (1u << 20)
#define CLONES_KEPT 64

static struct {
	struct gendisk *disk;
	struct backing backing;
	u64 pages;
	struct page_map offered; /* what tmem may have: it drops copies without a word */
	atomic64_t *states;      /* of pages (precache.h), which have them in turn */
	u64 state_count;
	bool is_off; /* a flush has failed: tmem may have what is old, and is asked no more */
	atomic64_t reads;
	struct bio_set passages;
} cache;

/* A clone on its way to the backing disk. */
struct passage {
	struct bio *parent;
	struct bvec_iter start; /* of a read */
	u64 read;               /* its number */
	u64 first_page, pages;  /* of a write */
	struct bio clone;       /* with what follows it */
};

/* ---- tmem -------------------------------------------------------------------------------------
 */

static atomic64_t *state_of(u64 page)
{
	return &cache.states[page % cache.state_count];
}

/* From here on tmem has nothing of the pages from @first to before @end, which are of one region.
 */
static void flush(u64 first, u64 end)
{
	unsigned int count, failed;
	unsigned long flags;
	struct page_map_region *region = page_map_lock(&cache.offered, first, &flags);

	count = page_map_flush(&cache.offered, region, first, end, &failed);
	if (failed) {
		cache.is_off = true;
		pr_err_ratelimited(DISK_NAME ": tmem is used no more\n");
	}
	page_map_unlock(region, flags);
	cache_count(CACHE_FLUSHES, count);
}

/* A frame leaves the page cache (evictions.h). */
static void frame_left(struct page *frame, bool is_evicted)
{
	struct precache_record record;
	struct page_map_region *region;
	unsigned long flags;
	struct tmem_key key;
	bool is_put;
	long result = 0;
	u64 sum;

	if (!frame_record_take(frame, &record) || !is_evicted)
		return;
	key = tmem_key(cache.offered.pool, record.page);
	sum = frame_sum(frame);
	region = page_map_lock(&cache.offered, record.page, &flags);
	is_put = !cache.is_off &&
		 precache_may_put(&record, atomic64_read(state_of(record.page)), sum);
	if (is_put) {
		result = tmem_put(&key, frame);
		/* Also if refused: asking for it again tells the balloon policies that it was
		 * wanted. */
		__set_bit(record.page, cache.offered.bits);
	}
	page_map_unlock(region, flags);
	cache_count(is_put ? CACHE_PUTS : CACHE_CHANGED, 1);
	if (result == 0)
		return;
	cache_count(CACHE_REFUSED, 1);
	if (!tmem_is_full(result))
		pr_err_ratelimited(
			"TMEM_PUT of page %llu: %pe\n", (u64)record.page, ERR_PTR(result));
}

/* ---- Reads ------------------------------------------------------------------------------------
 */

/* The first part of what is left of a bio that lies in one page of the disk. */
struct part {
	u64 page;
	unsigned int bytes;
	struct page *frame; /* if it is a whole page that goes to one frame */
};

static struct part part_at(struct bio *bio, struct bvec_iter at)
{
	unsigned int before = at.bi_sector % PAGE_SECTORS << SECTOR_SHIFT;
	struct bio_vec first = bio_iter_iovec(bio, at);
	struct part part = {
		.page = at.bi_sector >> PAGE_SECTORS_SHIFT,
		.bytes = min_t(unsigned int, at.bi_size, PAGE_SIZE - before),
	};

	if (part.bytes == PAGE_SIZE && first.bv_offset == 0 && first.bv_len == PAGE_SIZE)
		part.frame = first.bv_page;
	return part;
}

/* Moves @at behind @part, and says whether there is more of @bio in the same region. */
static bool next_part(struct bio *bio, struct bvec_iter *at, struct part part)
{
	bio_advance_iter(bio, at, part.bytes);
	return at->bi_size && at->bi_sector >> PAGE_SECTORS_SHIFT < page_map_region_end(part.page);
}

static void disk_read_ends(struct bio *clone)
{
	struct passage *passage = container_of(clone, struct passage, clone);
	struct bio *parent = passage->parent;
	struct bvec_iter at = passage->start;

	while (clone->bi_status == BLK_STS_OK && at.bi_size) {
		struct part part = part_at(clone, at);

		if (part.frame && frame_is_filled(part.frame))
			frame_record_end(part.frame, passage->read);
		bio_advance_iter(clone, &at, part.bytes);
	}
	if (clone->bi_status && !parent->bi_status)
		parent->bi_status = clone->bi_status;
	bio_put(clone);
	bio_endio(parent);
}

/* Reads the part of @bio from @from to @to (sectors from its beginning) from the backing disk. */
static void read_from_disk(struct bio *bio, sector_t from, sector_t to, u64 read)
{
	struct passage *passage;
	struct bio *clone;

	if (from == to)
		return;
	clone = bio_alloc_clone(cache.backing.device, bio, GFP_NOIO, &cache.passages);
	bio_trim(clone, from, to - from);
	passage = container_of(clone, struct passage, clone);
	passage->parent = bio;
	passage->start = clone->bi_iter;
	passage->read = read;
	clone->bi_end_io = disk_read_ends;
	cache_count(CACHE_DISK_READS, DIV_ROUND_UP(to - from, PAGE_SECTORS));
	bio_inc_remaining(bio);
	submit_bio_noacct(clone);
}

/*
 * Fills the frames of the pages that tmem has of the parts of @bio from @at on that lie in one
 * region, and begins records for all that the page cache reads. Returns the pages that are filled,
 * as bits by their place in the region.
 */
static unsigned long look_up(struct bio *bio, struct bvec_iter at, u64 read)
{
	struct part part = part_at(bio, at);
	unsigned int count = 0, hits = 0;
	unsigned long flags, filled = 0;
	struct page_map_region *region = page_map_lock(&cache.offered, part.page, &flags);
	bool more;

	do {
		part = part_at(bio, at);
		if (part.frame && frame_is_filled(part.frame))
			frame_record_begin(
				part.frame, part.page, atomic64_read(state_of(part.page)), read);
		if (part.frame && test_bit(part.page, cache.offered.bits) && !cache.is_off)
			page_map_batch(&cache.offered, region, count++, HYPERCALL_TMEM_GET,
				part.page, part.frame);
		more = next_part(bio, &at, part);
	} while (more);
	tmem_batch(region->batch, count);
	for (unsigned int i = 0; i < count; i++) {
		const struct tmem_batch_entry *entry = &region->batch[i];
		unsigned long place = (entry->handle >> 32) % PAGE_MAP_REGION;

		/* A get takes the copy away. After an error it is still there. */
		if (entry->result == 0 || entry->result == -ENOENT)
			__clear_bit(place, &cache.offered.bits[part.page / PAGE_MAP_REGION]);
		if (entry->result == 0) {
			__set_bit(place, &filled);
			hits++;
		}
	}
	page_map_unlock(region, flags);
	cache_count(CACHE_GETS, count);
	cache_count(CACHE_HITS, hits);
	return filled;
}

static void read_pages(struct bio *bio)
{
	sector_t start = bio->bi_iter.bi_sector, missed = 0;
	u64 read = atomic64_inc_return(&cache.reads);
	struct bvec_iter at = bio->bi_iter;

	while (at.bi_size) {
		unsigned long filled = look_up(bio, at, read);
		bool more;

		do {
			struct part part = part_at(bio, at);
			sector_t before = at.bi_sector - start;

			more = next_part(bio, &at, part);
			if (!test_bit(part.page % PAGE_MAP_REGION, &filled))
				continue;
			if (frame_is_filled(part.frame))
				frame_record_end(part.frame, read);
			read_from_disk(bio, missed, before, read);
			missed = at.bi_sector - start;
		} while (more);
	}
	read_from_disk(bio, missed, at.bi_sector - start, read);
	bio_endio(bio);
}

/* ---- Writes, and all else that changes the disk -----------------------------------------------
 */

static void disk_write_ends(struct bio *clone)
{
	struct passage *passage = container_of(clone, struct passage, clone);
	struct bio *parent = passage->parent;
	u64 states = precache_states_of(passage->pages, cache.state_count);

	for (u64 i = 0; i < states; i++)
		atomic64_sub(PRECACHE_WRITE_END, state_of(passage->first_page + i));
	if (clone->bi_status && !parent->bi_status)
		parent->bi_status = clone->bi_status;
	bio_put(clone);
	bio_endio(parent);
}

static void write_begins(u64 first, u64 pages)
{
	u64 states = precache_states_of(pages, cache.state_count);

	for (u64 i = 0; i < states; i++)
		atomic64_add(PRECACHE_WRITE_BEGIN, state_of(first + i));
	for (u64 page = first, end; page < first + pages; page = end) {
		end = min(page_map_region_end(page), first + pages);
		flush(page, end);
		cond_resched();
	}
}

/* No data: a flush of the disk's own cache. */
static void write_pages(struct bio *bio)
{
	u64 first = bio->bi_iter.bi_sector >> PAGE_SECTORS_SHIFT;
	u64 end = DIV_ROUND_UP(bio_end_sector(bio), PAGE_SECTORS);
	struct bio *clone = bio_alloc_clone(cache.backing.device, bio, GFP_NOIO, &cache.passages);
	struct passage *passage = container_of(clone, struct passage, clone);

	passage->parent = bio;
	passage->first_page = first;
	passage->pages = bio_sectors(bio) ? end - first : 0;
	clone->bi_end_io = disk_write_ends;
	write_begins(first, passage->pages);
	if (bio_has_data(bio))
		cache_count(CACHE_DISK_WRITES, passage->pages);
	submit_bio_noacct(clone);
}

static void cache_submit(struct bio *bio)
{
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		read_pages(bio);
		break;
	case REQ_OP_WRITE:
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
	case REQ_OP_WRITE_ZEROES:
		write_pages(bio);
		break;
	default:
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
	}
}

static const struct block_device_operations operations = {
	.owner = THIS_MODULE,
	.submit_bio = cache_submit,
};

/* ---- The disk ---------------------------------------------------------------------------------
 */

static int __init open_backing(const char *path)
{
	int error = backing_open(&cache.backing, path, true, &cache);
	struct block_device *device;

	if (error == -EACCES)
		error = backing_open(&cache.backing, path, false, &cache);
	if (error) {
		pr_err("cache=%s: %pe\n", path, ERR_PTR(error));
		return error;
	}
	device = cache.backing.device;
	cache.pages = DIV_ROUND_UP(bdev_nr_sectors(device), PAGE_SECTORS);
	if (cache.pages == 0 || bdev_logical_block_size(device) > PAGE_SIZE ||
		bdev_is_zoned(device)) {
		pr_err("cache=%s: %llu pages in blocks of %u bytes%s, valid is from 1, blocks of "
		       "up to %lu, and no zones\n",
			path, cache.pages, bdev_logical_block_size(device),
			bdev_is_zoned(device) ? ", in zones" : "", PAGE_SIZE);
		backing_close(&cache.backing);
		return -EINVAL;
	}
	return 0;
}

static int __init add_disk_over(struct block_device *device)
{
	int error;

	cache.disk = disk_alloc_stacked(device);
	if (!cache.disk)
		return -ENOMEM;
	strscpy(cache.disk->disk_name, DISK_NAME, DISK_NAME_LEN);
	cache.disk->fops = &operations;
	set_capacity(cache.disk, bdev_nr_sectors(device));
	set_disk_ro(cache.disk, !cache.backing.is_writable);
	error = device_add_disk(NULL, cache.disk, cache_counter_groups);
	if (error)
		put_disk(cache.disk);
	return error;
}

int __init cache_disk_create(const char *path, int pool)
{
	int error = open_backing(path);

	if (error)
		return error;
	error = page_map_create(&cache.offered, cache.pages, pool);
	if (error)
		goto close;
	error = -ENOMEM;
	cache.state_count = clamp_t(u64, totalram_pages() / 2, 1, STATES_MAX);
	cache.states = kvcalloc(cache.state_count, sizeof(*cache.states), GFP_KERNEL);
	if (!cache.states)
		goto destroy_map;
	error = frame_records_create();
	if (error)
		goto free_states;
	/* A read may need many clones, and those before wait for this one's turn to end. */
	error = bioset_init(
		&cache.passages, CLONES_KEPT, offsetof(struct passage, clone), BIOSET_NEED_RESCUER);
	if (error)
		goto destroy_records;
	error = evictions_watch(frame_left);
	if (error)
		goto exit_passages;
	error = add_disk_over(cache.backing.device);
	if (error)
		goto leave;
	pr_info(DISK_NAME ": %llu pages over %s, tmem pool %d\n", cache.pages, path, pool);
	return 0;

leave:
	evictions_leave();
exit_passages:
	bioset_exit(&cache.passages);
destroy_records:
	frame_records_destroy();
free_states:
	kvfree(cache.states);
destroy_map:
	page_map_destroy(&cache.offered);
close:
	backing_close(&cache.backing);
	pr_err(DISK_NAME ": %pe\n", ERR_PTR(error));
	return error;
}

void cache_disk_destroy(void)
{
	evictions_leave();
	del_gendisk(cache.disk);
	put_disk(cache.disk);
	/* The interrupt that ended the last read may not have returned from here yet. */
	synchronize_rcu();
	bioset_exit(&cache.passages);
	frame_records_destroy();
	kvfree(cache.states);
	page_map_destroy(&cache.offered);
	backing_close(&cache.backing);
}
