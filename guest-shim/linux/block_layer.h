/*
 * What Linux's block layer wants in another form from one kernel to the next: opening the disk
 * below, and limits. Kbuild chooses between block_layer_6_1.c and block_layer_6_12.c.
 */
#ifndef LINUX_BLOCK_LAYER_H
#define LINUX_BLOCK_LAYER_H

#include <linux/blkdev.h>

/* The disk below. */
struct backing {
	struct block_device *device;
	struct file *file; /* where Linux opens block devices as files */
	bool is_writable;
};

/* Opens the block device at @path for reading, and if so asked for writing, for @holder alone. 0 or
 * a negative errno: -EACCES, it is read-only. */
int __must_check backing_open(
	struct backing *backing, const char *path, bool is_writable, void *holder);
void backing_close(struct backing *backing);

/*
 * A disk over @device whose reads and writes are of one page, without capacity and name. It takes
 * discards, and what @device has of a cache it has, too. NULL: no memory, or no such limits.
 */
struct gendisk *__must_check disk_alloc_paged(struct block_device *device);

/* A disk over @device with all its limits, without capacity and name. NULL: no memory, or no such
 * limits. */
struct gendisk *__must_check disk_alloc_stacked(struct block_device *device);

#endif
