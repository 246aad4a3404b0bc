/*
 * The disks of a VM, from its manifest: disk n is virtio slot n. Created before the VM runs and
 * destroyed after it stopped.
 */
#include "kernel/virtio/blk.h"

#include "kernel/core/frame.h"
#include "kernel/virtio/blk_state.h"
#include <abi/errno.h>
#include <abi/platform.h>
#include <string.h>

_Static_assert(MANIFEST_DISKS_MAX <= PLATFORM_BALLOON_SLOT, "a slot for every disk");

static const struct boot_module *find_module(const char *name)
{
	const struct boot_info *info = boot_info();

	for (unsigned i = 0; i < info->module_count; i++)
		if (strcmp(info->modules[i].name, name) == 0)
			return &info->modules[i];
	return NULL;
}

static unsigned seen_order(const struct virtio_blk *blk)
{
	return order_of(ROUND_UP(blk->disk.sectors, 64) / 8);
}

static int open_backing(struct vm *vm, struct virtio_blk *blk)
{
	const struct disk_config *config = blk->config;
	const struct boot_module *module;
	int err;

	if (!config->module[0]) {
		err = ramdisk_create_blank(&blk->disk, config->size);
		if (err == -SLUICE_EINVAL)
			log_error("guest \"%s\": disk \"%s\": size is %lu bytes, valid is a "
				  "multiple of %u from %u",
				vm->config->name, config->name, config->size, SECTOR_SIZE,
				SECTOR_SIZE);
		else if (err)
			log_error("guest \"%s\": disk \"%s\": no memory for its %lu bytes, %lu are "
				  "free",
				vm->config->name, config->name, config->size,
				frames_free() * PAGE_SIZE);
		return err;
	}
	module = find_module(config->module);
	if (!module) {
		log_error("guest \"%s\": disk \"%s\": there is no module \"%s\"", vm->config->name,
			config->name, config->module);
		return -SLUICE_ENOENT;
	}
	err = ramdisk_open_module(&blk->disk, module);
	if (err)
		log_error("guest \"%s\": disk \"%s\": module \"%s\" has %lu bytes, valid is a "
			  "multiple of %u from %u (truncated?)",
			vm->config->name, config->name, config->module, module->bytes, SECTOR_SIZE,
			SECTOR_SIZE);
	return err;
}

static void blk_destroy(struct virtio_blk *blk)
{
	if (blk->device.ops)
		virtio_detach(&blk->device);
	if (blk->seen)
		hypervisor_free(blk->seen, seen_order(blk));
	ramdisk_close(&blk->disk);
	hypervisor_free(blk, order_of(sizeof(*blk)));
}

static int blk_create(struct vm *vm, unsigned slot)
{
	struct virtio_blk *blk = hypervisor_alloc(order_of(sizeof(*blk)));
	int err;

	if (!blk)
		goto no_memory;
	blk->config = &vm->config->disks[slot];
	blk->service_ticks = ticks_from_us(blk->config->service_us);
	err = open_backing(vm, blk);
	if (err)
		goto fail;
	blk->seen = hypervisor_alloc(seen_order(blk));
	if (!blk->seen) {
		blk_destroy(blk);
		goto no_memory;
	}
	blk->device.ops = &blk_ops;
	blk->device.vm = vm;
	blk->device.features_offered = blk->disk.read_only ? BLK_F_RO : 0;
	virtio_attach(&blk->device, slot);
	return 0;

fail:
	blk_destroy(blk);
	return err;
no_memory:
	log_error("guest \"%s\": disk \"%s\": no memory for its device", vm->config->name,
		vm->config->disks[slot].name);
	return -SLUICE_ENOMEM;
}

static struct virtio_blk *blk_at(const struct vm *vm, unsigned slot)
{
	struct virtio_device *device = slot < ARRAY_SIZE(vm->devices) ? vm->devices[slot] : NULL;

	if (!device || device->ops != &blk_ops)
		return NULL;
	return container_of(device, struct virtio_blk, device);
}

__init int disks_create(struct vm *vm)
{
	for (unsigned slot = 0; slot < vm->config->disk_count; slot++) {
		int err = blk_create(vm, slot);

		if (err) {
			disks_destroy(vm);
			return err;
		}
	}
	return 0;
}

void disks_destroy(struct vm *vm)
{
	for (unsigned slot = 0; slot < ARRAY_SIZE(vm->devices); slot++) {
		struct virtio_blk *blk = blk_at(vm, slot);

		if (blk)
			blk_destroy(blk);
	}
}

bool disk_stats(const struct vm *vm, unsigned index, const char **name, struct vm_disk_stats *stats)
{
	const struct virtio_blk *blk = blk_at(vm, index);

	if (!blk)
		return false;
	if (name)
		*name = blk->config->name;
	*stats = blk->stats;
	return true;
}
