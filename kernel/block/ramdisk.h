/*
 * Disks that live in RAM: a multiboot module (read-only, may stand behind disks of several guests)
 * or blank, writable frames. Their frames are of class device. Contents have no lock: a disk
 * belongs to one virtio device, and modules are only read.
 */
#ifndef BLOCK_RAMDISK_H
#define BLOCK_RAMDISK_H

#include "arch/x86/arch.h"
#include "lib/types.h"

#define SECTOR_SIZE 512u

struct ramdisk {
	u64 sectors;
	bool read_only;
	u8 *module;  /* contiguous bytes; NULL if blank */
	u32 *frames; /* blank: the mfn behind each 4 KiB of the disk */
	u64 frame_count;
};

/* Over @module, whose frames become class device at its first use. -EINVAL if its size is no
 * positive multiple of SECTOR_SIZE. */
int __must_check ramdisk_open_module(struct ramdisk *disk, const struct boot_module *module);
/* @bytes of zeros. -EINVAL if that is no positive multiple of SECTOR_SIZE, -ENOMEM with nothing
 * kept. */
int __must_check ramdisk_create_blank(struct ramdisk *disk, u64 bytes);
/* Frees a blank disk's frames; a module stays claimed. */
void ramdisk_close(struct ramdisk *disk);

/* The bytes at @offset, which lies inside the disk: *@bytes says how many follow in one piece. */
void *ramdisk_at(const struct ramdisk *disk, u64 offset, u64 *bytes);

#endif
