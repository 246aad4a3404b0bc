/*
 * See block_layer.h: for Linux 6.1, as it is since 6.1.5, up to 6.4.
 */
#include <linux/version.h>

#include "block_layer.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 5) || LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#error sluice_tmem is for Linux 6.1 and 6.12 (docs/linux.md)
#endif

static fmode_t mode_of(const struct backing *backing)
{
	return FMODE_READ | FMODE_EXCL | (backing->is_writable ? FMODE_WRITE : 0);
}

int backing_open(struct backing *backing, const char *path, bool is_writable, void *holder)
{
	backing->is_writable = is_writable;
	backing->device = blkdev_get_by_path(path, mode_of(backing), holder);
	return PTR_ERR_OR_ZERO(backing->device);
}

void backing_close(struct backing *backing)
{
	blkdev_put(backing->device, mode_of(backing));
}

/* What limits do not say. */
static void take_flags(struct request_queue *queue, struct block_device *device)
{
	blk_queue_write_cache(queue, bdev_write_cache(device), bdev_fua(device));
	if (bdev_stable_writes(device))
		blk_queue_flag_set(QUEUE_FLAG_STABLE_WRITES, queue);
}

struct gendisk *disk_alloc_paged(struct block_device *device)
{
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return NULL;
	blk_queue_logical_block_size(disk->queue, PAGE_SIZE);
	blk_queue_physical_block_size(disk->queue, PAGE_SIZE);
	blk_queue_max_hw_sectors(disk->queue, PAGE_SECTORS);
	blk_queue_max_discard_sectors(disk->queue, UINT_MAX);
	disk->queue->limits.discard_granularity = PAGE_SIZE;
	take_flags(disk->queue, device);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
	return disk;
}

struct gendisk *disk_alloc_stacked(struct block_device *device)
{
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return NULL;
	blk_set_stacking_limits(&disk->queue->limits);
	disk_stack_limits(disk, device, 0);
	take_flags(disk->queue, device);
	if (bdev_nonrot(device))
		blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
	return disk;
}
