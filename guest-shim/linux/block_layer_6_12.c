/*
 * See block_layer.h: for Linux 6.12.
 */
#include "block_layer.h"

int backing_open(struct backing *backing, const char *path, bool is_writable, void *holder)
{
	blk_mode_t mode = BLK_OPEN_READ | BLK_OPEN_EXCL | (is_writable ? BLK_OPEN_WRITE : 0);

	backing->is_writable = is_writable;
	backing->file = bdev_file_open_by_path(path, mode, holder, NULL);
	if (IS_ERR(backing->file))
		return PTR_ERR(backing->file);
	backing->device = file_bdev(backing->file);
	return 0;
}

void backing_close(struct backing *backing)
{
	bdev_fput(backing->file);
}

struct gendisk *disk_alloc_paged(struct block_device *device)
{
	struct queue_limits limits = {
		.logical_block_size = PAGE_SIZE,
		.physical_block_size = PAGE_SIZE,
		.max_hw_sectors = PAGE_SECTORS,
		.max_hw_discard_sectors = UINT_MAX,
		.discard_granularity = PAGE_SIZE,
	};
	struct gendisk *disk;

	if (bdev_write_cache(device))
		limits.features |= BLK_FEAT_WRITE_CACHE;
	if (bdev_fua(device))
		limits.features |= BLK_FEAT_FUA;
	if (bdev_stable_writes(device))
		limits.features |= BLK_FEAT_STABLE_WRITES;
	disk = blk_alloc_disk(&limits, NUMA_NO_NODE);
	return IS_ERR(disk) ? NULL : disk;
}

struct gendisk *disk_alloc_stacked(struct block_device *device)
{
	struct queue_limits limits;
	struct gendisk *disk;

	blk_set_stacking_limits(&limits);
	/* Clones are waited for, and nobody polls for them. */
	limits.features &= ~(BLK_FEAT_NOWAIT | BLK_FEAT_POLL);
	queue_limits_stack_bdev(&limits, device, 0, "sluice_cache0");
	disk = blk_alloc_disk(&limits, NUMA_NO_NODE);
	return IS_ERR(disk) ? NULL : disk;
}
