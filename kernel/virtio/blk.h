/*
 * virtio-blk over a disk of kernel/block/: requests take their time in virtual time, one after the
 * other; data moves at completion. Guest pages are pinned from submit to completion.
 */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include "kernel/vm/vm.h"

/* A virtio-blk device in slot n for disk n of the manifest. Called by platform_create(). 0 or a
 * negative errno after a message that names guest and disk; nothing is left behind then. */
int __must_check disks_create(struct vm *vm);
void disks_destroy(struct vm *vm);

/* Statistics of disk @index; false if there is none. *@name lives as long as the manifest;
 * @name may be NULL. */
bool disk_stats(
	const struct vm *vm, unsigned index, const char **name, struct vm_disk_stats *stats);

#endif
