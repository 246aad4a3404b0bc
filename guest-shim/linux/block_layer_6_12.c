/*
 * See block_layer.h: for Linux 6.12.
 */
#include "block_layer.h"

#define EXCLUSIVE (BLK_OPEN_READ | BLK_OPEN_WRITE | BLK_OPEN_EXCL)

int backing_open(struct backing *backing, const char *path, void *holder)
{
	backing->file = bdev_file_open_by_path(path, EXCLUSIVE, holder, NULL);
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
