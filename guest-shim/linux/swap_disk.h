/*
 * /dev/sluice_swap0: a disk for swapping that stacks over another block device and keeps its pages
 * in tmem as long as tmem takes them.
 */
#ifndef LINUX_SWAP_DISK_H
#define LINUX_SWAP_DISK_H

#include <linux/types.h>

/*
 * Makes the disk over the block device at @path, which nobody else may use meanwhile, with pages in
 * the persistent pool @pool. 0 or a negative errno, after saying in the log what failed.
 */
int __must_check swap_disk_create(const char *path, int pool);

/* Takes the disk away. Nobody may have it open; what it held in tmem is no longer to be had. */
void swap_disk_destroy(void);

#endif
