/*
 * /dev/sluice_cache0: a disk for file systems that stacks over another block device. What of it
 * leaves Linux's page cache goes to tmem, where reads look first. All that is written is on the
 * device below at once.
 */
#ifndef LINUX_CACHE_DISK_H
#define LINUX_CACHE_DISK_H

#include <linux/types.h>

/*
 * Makes the disk over the block device at @path, which nobody else may use meanwhile, with pages in
 * the private ephemeral pool @pool. 0 or a negative errno, after saying in the log what failed.
 */
int __must_check cache_disk_create(const char *path, int pool);

/* Takes the disk away. Nobody may have it open. */
void cache_disk_destroy(void);

#endif
