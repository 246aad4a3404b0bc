/* Disks in RAM: see ramdisk.h. Opened and closed on the boot CPU while their VM does not run. */
#include "kernel/block/ramdisk.h"

#include "kernel/core/frame.h"
#include <abi/errno.h>

/* Modules whose frames were claimed, by their place in boot_info()->modules. */
static bool claimed[BOOT_MODULES_MAX];

static bool size_is_valid(u64 bytes)
{
	return bytes > 0 && bytes % SECTOR_SIZE == 0;
}

/* Several guests may have the same module: its frames change class once. */
static void claim(const struct boot_module *module)
{
	unsigned index = (unsigned)(module - boot_info()->modules);

	if (claimed[index])
		return;
	claimed[index] = true;
	frames_claim_range(module->start, module->bytes, FRAME_DEVICE);
}

__init int ramdisk_open_module(struct ramdisk *disk, const struct boot_module *module)
{
	if (!size_is_valid(module->bytes))
		return -SLUICE_EINVAL;
	claim(module);
	*disk = (struct ramdisk){
		.sectors = module->bytes / SECTOR_SIZE,
		.read_only = true,
		.module = hpa_to_ptr(module->start),
	};
	return 0;
}

static unsigned frame_table_order(const struct ramdisk *disk)
{
	return order_of(ROUND_UP(disk->sectors * SECTOR_SIZE, PAGE_SIZE) / PAGE_SIZE * sizeof(u32));
}

__init int ramdisk_create_blank(struct ramdisk *disk, u64 bytes)
{
	u64 count = ROUND_UP(bytes, PAGE_SIZE) / PAGE_SIZE;
	unsigned order = BLOCK_ORDER;

	if (!size_is_valid(bytes))
		return -SLUICE_EINVAL;
	*disk = (struct ramdisk){.sectors = bytes / SECTOR_SIZE};
	disk->frames = hypervisor_alloc(frame_table_order(disk));
	if (!disk->frames)
		return -SLUICE_ENOMEM;
	while (disk->frame_count < count) {
		mfn_t first;

		while (order > 0 && (1UL << order) > count - disk->frame_count)
			order--;
		first = frame_alloc(FRAME_DEVICE, order, 0);
		if (mfn_is_none(first)) {
			if (order == 0) {
				ramdisk_close(disk);
				return -SLUICE_ENOMEM;
			}
			order--; /* no larger block is left: smaller ones */
			continue;
		}
		for (u64 i = 0; i < 1UL << order; i++) {
			arch_clear_page(mfn_to_ptr(mfn(first.raw + i)));
			disk->frames[disk->frame_count++] = (u32)(first.raw + i);
		}
	}
	return 0;
}

void ramdisk_close(struct ramdisk *disk)
{
	if (disk->frames) {
		for (u64 i = 0; i < disk->frame_count; i++)
			frame_free(mfn(disk->frames[i]), 0);
		hypervisor_free(disk->frames, frame_table_order(disk));
	}
	*disk = (struct ramdisk){0};
}

void *ramdisk_at(const struct ramdisk *disk, u64 offset, u64 *bytes)
{
	if (disk->module) {
		*bytes = disk->sectors * SECTOR_SIZE - offset;
		return disk->module + offset;
	}
	*bytes = PAGE_SIZE - offset % PAGE_SIZE;
	return (u8 *)mfn_to_ptr(mfn(disk->frames[offset / PAGE_SIZE])) + offset % PAGE_SIZE;
}
