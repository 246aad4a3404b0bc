/*
 * See swap_disk.h. A bio of one whole page goes to tmem first; what tmem does not take or have, and
 * everything else, is passed on to the backing disk at the same sectors. preswap.h has the
 * decisions.
 *
 * A put and a flush of one page from two processors must not overtake the change of the page's bit
 * in the map: both are done under its region's lock (page_map.h). Linux frees swap slots in process
 * context, under its own lock of the swap area.
 *
 * Nothing is allocated on the way of a page that is swapped: that happens when memory has run out.
 */
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include "swap_disk.h"

#include <linux/bio.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sched.h>

#include "block_layer.h"
#include "counters.h"
#include "hypercall.h"
#include "page_map.h"
#include "preswap.h"

#define DISK_NAME "sluice_swap0"

static struct {
	struct gendisk *disk;
	struct backing backing;
	u64 pages;
	struct page_map stored; /* whether tmem has what was written last (preswap.h) */
	mempool_t *bounces;     /* pages for gets whose target is scattered */
} swap;

/* ---- Single pages -----------------------------------------------------------------------------
 */

/* The page's region is locked. */
static void set_stored(u64 page)
{
	if (!__test_and_set_bit(page, swap.stored.bits))
		count(COUNTER_STORED);
}

/* From here on what tmem has of the pages is not read again. They are of one region, which is
 * locked. */
static void flush_locked(struct page_map_region *region, u64 first, u64 end)
{
	unsigned int failed;
	unsigned int flushed = page_map_flush(&swap.stored, region, first, end, &failed);

	atomic64_add(flushed, &swap_counters[COUNTER_FLUSHES]);
	atomic64_sub(flushed, &swap_counters[COUNTER_STORED]);
}

/* Flushes those pages that tmem has of a region's. */
static void forget(u64 first, u64 end)
{
	unsigned long flags;
	struct page_map_region *region = page_map_lock(&swap.stored, first, &flags);

	flush_locked(region, first, end);
	page_map_unlock(region, flags);
}

/* Whether tmem has taken the page; if not, no older copy of it is there any more. */
static bool keep(u64 page, struct page *content)
{
	struct tmem_key key = tmem_key(swap.stored.pool, page);
	unsigned long flags;
	struct page_map_region *region = page_map_lock(&swap.stored, page, &flags);
	long result = tmem_put(&key, content);
	enum preswap_write way = preswap_after_put(result, test_bit(page, swap.stored.bits));

	if (way == PRESWAP_WRITE_KEPT)
		set_stored(page);
	else if (way == PRESWAP_WRITE_FLUSH_DISK)
		flush_locked(region, page, page + 1);
	page_map_unlock(region, flags);

	count(COUNTER_PUTS);
	if (way == PRESWAP_WRITE_KEPT)
		return true;
	count(COUNTER_REFUSED);
	if (!tmem_is_full(result))
		pr_err_ratelimited("TMEM_PUT of page %llu: %pe\n", page, ERR_PTR(result));
	return false;
}

/*
 * Tries to fill @content. tmem is asked even for pages that it does not have: so the hypervisor
 * learns that they are wanted again, which is what its balloon policies go by.
 */
static enum preswap_read fetch(u64 page, struct page *content)
{
	struct tmem_key key = tmem_key(swap.stored.pool, page);
	unsigned long flags;
	struct page_map_region *region = page_map_lock(&swap.stored, page, &flags);
	long result = tmem_get(&key, content);
	enum preswap_read way = preswap_after_get(result, test_bit(page, swap.stored.bits));

	if (way == PRESWAP_READ_FLUSH_DISK) {
		set_stored(page); /* what it has is old */
		flush_locked(region, page, page + 1);
	}
	page_map_unlock(region, flags);

	count(COUNTER_GETS);
	if (way == PRESWAP_READ_DONE)
		count(COUNTER_HITS);
	if (way == PRESWAP_READ_LOST) {
		count(COUNTER_LOST);
		pr_err_ratelimited(
			"TMEM_GET of page %llu, which was put: %pe\n", page, ERR_PTR(result));
	}
	return way;
}

/* Linux needs the page no more. May be called under spinlocks. */
static void swap_slot_freed(struct block_device *device, unsigned long page)
{
	if (page < swap.pages)
		forget(page, page + 1);
}

/* ---- Bios -------------------------------------------------------------------------------------
 */

static void pass_on(struct bio *bio)
{
	bio_set_dev(bio, swap.backing.device);
	submit_bio_noacct(bio);
}

static u64 page_of(const struct bio *bio)
{
	return bio->bi_iter.bi_sector >> PAGE_SECTORS_SHIFT;
}

/* The frame that @bio fills or empties, which has one page's length; NULL if that lies scattered.
 */
static struct page *whole_frame(struct bio *bio)
{
	struct bio_vec first = bio_iter_iovec(bio, bio->bi_iter);

	return first.bv_offset == 0 && first.bv_len == PAGE_SIZE ? first.bv_page : NULL;
}

static void write_page(struct bio *bio)
{
	u64 page = page_of(bio);
	struct page *content = whole_frame(bio);

	/* What must be durable when the bio ends is the disk's affair. */
	if (!content || !preswap_wants(page) || op_is_flush(bio->bi_opf)) {
		forget(page, page + 1);
	} else if (keep(page, content)) {
		bio_endio(bio);
		return;
	}
	count(COUNTER_DISK_WRITES);
	pass_on(bio);
}

static void copy_to_bio(struct bio *bio, struct page *content)
{
	const char *from = page_address(content);
	struct bvec_iter at;
	struct bio_vec piece;

	bio_for_each_segment(piece, bio, at)
	{
		memcpy_to_bvec(&piece, from);
		from += piece.bv_len;
	}
}

static void read_page(struct bio *bio)
{
	u64 page = page_of(bio);
	struct page *frame = whole_frame(bio);
	enum preswap_read way;

	if (frame) {
		way = fetch(page, frame);
	} else {
		struct page *bounce = mempool_alloc(swap.bounces, GFP_NOIO);

		way = fetch(page, bounce);
		if (way == PRESWAP_READ_DONE)
			copy_to_bio(bio, bounce);
		mempool_free(bounce, swap.bounces);
	}
	switch (way) {
	case PRESWAP_READ_DONE:
		bio_endio(bio);
		break;
	case PRESWAP_READ_LOST:
		bio_io_error(bio);
		break;
	case PRESWAP_READ_DISK:
	case PRESWAP_READ_FLUSH_DISK:
		count(COUNTER_DISK_READS);
		pass_on(bio);
	}
}

static void discard(struct bio *bio)
{
	u64 end = bio_end_sector(bio) >> PAGE_SECTORS_SHIFT;

	for (u64 page = page_of(bio), next; page < end; page = next) {
		next = min(page_map_region_end(page), end);
		forget(page, next);
		cond_resched();
	}
	if (bdev_max_discard_sectors(swap.backing.device))
		pass_on(bio);
	else
		bio_endio(bio);
}

/* Whether @bio covers whole pages of the disk, as the logical block size tells all to do. */
static bool is_of_pages(const struct bio *bio)
{
	return !((bio->bi_iter.bi_sector | bio_sectors(bio)) & (PAGE_SECTORS - 1));
}

static void swap_submit(struct bio *bio)
{
	/* The limits say that a read or write has one page at most. */
	bio = bio_split_to_limits(bio);
	if (!bio)
		return;
	if (!is_of_pages(bio)) {
		pr_err_ratelimited("%u sectors at sector %llu are no whole pages\n",
			bio_sectors(bio), (u64)bio->bi_iter.bi_sector);
		bio_io_error(bio);
		return;
	}
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		read_page(bio);
		break;
	case REQ_OP_WRITE:
		if (bio_sectors(bio))
			write_page(bio);
		else
			pass_on(bio); /* a flush of the disk's cache */
		break;
	case REQ_OP_DISCARD:
		discard(bio);
		break;
	default:
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
	}
}

static const struct block_device_operations operations = {
	.owner = THIS_MODULE,
	.submit_bio = swap_submit,
	.swap_slot_free_notify = swap_slot_freed,
};

/* ---- The disk ---------------------------------------------------------------------------------
 */

static int __init open_backing(const char *path)
{
	int error = backing_open(&swap.backing, path, true, &swap);
	struct block_device *device = swap.backing.device;

	if (error) {
		pr_err("backing=%s: %pe\n", path, ERR_PTR(error));
		return error;
	}
	swap.pages = bdev_nr_bytes(device) >> PAGE_SHIFT;
	if (swap.pages == 0 || bdev_logical_block_size(device) > PAGE_SIZE) {
		pr_err("backing=%s: %llu pages in blocks of %u bytes, valid is from 1, and blocks "
		       "of up to %lu\n",
			path, swap.pages, bdev_logical_block_size(device), PAGE_SIZE);
		backing_close(&swap.backing);
		return -EINVAL;
	}
	return 0;
}

int __init swap_disk_create(const char *path, int pool)
{
	int error = open_backing(path);

	if (error)
		return error;
	error = page_map_create(&swap.stored, swap.pages, pool);
	if (error)
		goto close;
	error = -ENOMEM;
	swap.bounces = mempool_create_page_pool(1, 0);
	if (!swap.bounces)
		goto destroy_map;
	swap.disk = disk_alloc_paged(swap.backing.device);
	if (!swap.disk)
		goto free_bounces;
	strscpy(swap.disk->disk_name, DISK_NAME, DISK_NAME_LEN);
	swap.disk->fops = &operations;
	swap.disk->flags |= GENHD_FL_NO_PART;
	set_capacity(swap.disk, swap.pages << PAGE_SECTORS_SHIFT);
	error = device_add_disk(NULL, swap.disk, swap_counter_groups);
	if (error)
		goto put_disk;
	pr_info(DISK_NAME ": %llu pages over %s, tmem pool %d\n", swap.pages, path, pool);
	return 0;

put_disk:
	put_disk(swap.disk);
free_bounces:
	mempool_destroy(swap.bounces);
destroy_map:
	page_map_destroy(&swap.stored);
close:
	backing_close(&swap.backing);
	pr_err(DISK_NAME ": %pe\n", ERR_PTR(error));
	return error;
}

void swap_disk_destroy(void)
{
	del_gendisk(swap.disk);
	put_disk(swap.disk);
	mempool_destroy(swap.bounces);
	page_map_destroy(&swap.stored);
	backing_close(&swap.backing);
}
