/*
 * The guest's disks: virtio-blk devices, found by their names. Several requests can be under way on
 * each; who waits for one sleeps until the device interrupts.
 */
#ifndef SHIM_DISK_H
#define SHIM_DISK_H

#include "lib/types.h"

#define SECTOR_SIZE      512u
#define SECTORS_PER_PAGE (u32)(PAGE_SIZE / SECTOR_SIZE)
#define DISK_REQUESTS    16u /* under way at most, on each disk */

struct disk;

/* Probes PLATFORM_VIRTIO_SLOTS windows from @base on, @stride bytes apart, interrupt lines from
 * @gsi on. Interrupts must be on or off as the caller likes; needs the LAPIC. */
void disk_init(u64 base, u64 stride, u32 gsi);

/* The disk whose id is @name, or NULL. */
struct disk *disk_find(const char *name);

/* Its size in sectors of 512 bytes; whether it refuses writes. */
u64 disk_sectors(const struct disk *disk);
bool disk_is_read_only(const struct disk *disk);

/*
 * Starts moving @sectors sectors between the disk and the memory at @address, which must stay in
 * place until the request is finished. Returns its tag. Panics if DISK_REQUESTS are unfinished.
 */
unsigned disk_submit(struct disk *disk, bool write, u64 sector, u64 address, u32 sectors);

/* Whether disk_finish() will not sleep. */
bool disk_is_done(const struct disk *disk, unsigned tag);

/* Sleeps until the request is done, frees its tag, and returns 0 or -EIO. */
int disk_finish(struct disk *disk, unsigned tag) __must_check;

/* Sleeps until any request of @disk is done; at least one must be unfinished. */
void disk_wait_any(const struct disk *disk);

/* The interrupt of window @slot. */
void disk_interrupt(unsigned slot);

#endif
