/*
 * The PVH loader: copies a guest's segments and initrd into its RAM and writes the ACPI tables and
 * the start info. Runs on the boot CPU before the VM does, when its devices are there; holds no
 * lock. RAM that nobody wrote reads zero, so .bss needs no work.
 */
#include "arch/x86/guest/pvh.h"

#include "arch/x86/guest/acpi_tables.h"
#include "arch/x86/guest/elf.h"
#include "arch/x86/guest/image.h"
#include "arch/x86/guest/start_info.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/virtio/device.h"
#include <abi/errno.h>
#include <abi/platform.h>
#include <string.h>

/* 640 KiB less one, to 1 MiB: reserved in the memory map, as where PC firmware has its data. */
#define LOW_RAM_END 0x9fc00u
#define HIGH_RAM    0x100000u
/* In there. The RSDP comes first: who is not told of it may search for it from here on. */
#define ACPI_PAGE       0xe0000u
#define START_INFO_PAGE (ACPI_PAGE + ACPI_TABLES_BYTES)
/* Where a PC's firmware begins. Linux resets itself by a jump there, in real mode, where ACPI is
 * hardware-reduced and there is no EFI: mov $0xfe, %al; out %al, $0x64; 1: hlt; jmp 1b. */
#define RESET_VECTOR 0xffff0u
static const u8 reset_code[] = {0xb0, 0xfe, 0xe6, PLATFORM_RESET_PORT, 0xf4, 0xeb, 0xfd};
#define MEMMAP_MAX 4

/* What stands in the start info page. */
struct start_page {
	struct start_info info;
	struct start_module module;
	struct start_memmap memmap[MEMMAP_MAX];
	char cmdline[MANIFEST_CMDLINE_MAX];
};
_Static_assert(sizeof(struct start_page) <= PAGE_SIZE, "the start info is one page");

/* Where RAM below the device hole ends. */
static u64 low_ram_end(const struct vm *vm)
{
	return MIN(vm->memory.ram_pages * PAGE_SIZE, (u64)PLATFORM_HOLE_START);
}

static unsigned fill_memmap(const struct vm *vm, struct start_memmap *map)
{
	u64 bytes = vm->memory.ram_pages * PAGE_SIZE, end = low_ram_end(vm);
	unsigned n = 0;

	map[n++] = (struct start_memmap){0, LOW_RAM_END, MEMMAP_RAM, 0};
	map[n++] = (struct start_memmap){LOW_RAM_END, HIGH_RAM - LOW_RAM_END, MEMMAP_RESERVED, 0};
	if (end > HIGH_RAM)
		map[n++] = (struct start_memmap){HIGH_RAM, end - HIGH_RAM, MEMMAP_RAM, 0};
	if (bytes > end)
		map[n++] = (struct start_memmap){PLATFORM_HOLE_END, bytes - end, MEMMAP_RAM, 0};
	return n;
}

static int load_segments(
	struct vm *vm, const struct boot_module *kernel, const struct elf_image *image)
{
	const u8 *bytes = hpa_to_ptr(kernel->start);

	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segments[i];
		int err = memory_write(vm, gpa(s->address), bytes + s->offset, s->bytes);

		if (err) {
			log_error("guest \"%s\": kernel \"%s\": no memory for its segment of %lu "
				  "bytes at %#lx",
				vm->config->name, kernel->name, s->bytes, s->address);
			return err;
		}
	}
	return 0;
}

/* Places the initrd as high as it goes below the device hole; *@address says where. */
static int load_initrd(
	struct vm *vm, const struct boot_module *initrd, u64 kernel_end, u64 *address)
{
	u64 end = low_ram_end(vm), floor = MAX(ROUND_UP(kernel_end, PAGE_SIZE), (u64)HIGH_RAM);
	int err;

	if (end <= floor || initrd->bytes > end - floor) {
		log_error("guest \"%s\": initrd \"%s\" has %lu bytes, valid is 0 to %lu "
			  "(between the kernel and the end of RAM)",
			vm->config->name, initrd->name, initrd->bytes,
			end <= floor ? 0UL : end - floor);
		return -SLUICE_EINVAL;
	}
	*address = (end - initrd->bytes) & ~PAGE_MASK;
	err = memory_write(vm, gpa(*address), hpa_to_ptr(initrd->start), initrd->bytes);
	if (err)
		log_error("guest \"%s\": initrd \"%s\": no memory for its %lu bytes",
			vm->config->name, initrd->name, initrd->bytes);
	return err;
}

static int write_acpi_tables(struct vm *vm)
{
	struct acpi_contents contents = {.cpus = vm->vcpu_count};
	const struct virtio_device *device;
	u8 *page = memory_page(vm, gpa_to_gfn(gpa(ACPI_PAGE)));

	for_each_virtio_device (vm, device)
		contents.virtio_slots |= (u32)BIT(device->slot);
	if (!page)
		return -SLUICE_ENOMEM;
	return acpi_write_tables(page, ACPI_PAGE, &contents) ? 0 : -SLUICE_ENOSPC;
}

static int write_start_info(struct vm *vm, const struct boot_module *initrd, u64 initrd_address)
{
	struct start_page page;

	memset(&page, 0, sizeof(page));
	page.info = (struct start_info){
		.magic = START_INFO_MAGIC,
		.version = START_INFO_VERSION,
		.cmdline_paddr = START_INFO_PAGE + offsetof(struct start_page, cmdline),
		.rsdp_paddr = ACPI_PAGE,
		.memmap_paddr = START_INFO_PAGE + offsetof(struct start_page, memmap),
		.memmap_entries = fill_memmap(vm, page.memmap),
	};
	if (initrd) {
		page.info.module_count = 1;
		page.info.modules_paddr = START_INFO_PAGE + offsetof(struct start_page, module);
		page.module = (struct start_module){initrd_address, initrd->bytes, 0, 0};
	}
	memcpy(page.cmdline, vm->config->cmdline, sizeof(page.cmdline));
	page.cmdline[sizeof(page.cmdline) - 1] = '\0';
	return memory_write(vm, gpa(START_INFO_PAGE), &page, sizeof(page));
}

static void keep(struct guest_image *image, const u8 *from, u64 to, u64 bytes)
{
	image->pieces[image->count++] = (struct image_piece){from, to, bytes};
}

/* Keeps what stands at @to in the guest, in @bytes of image->written that begin at @from. */
static int keep_written(struct vm *vm, struct guest_image *image, u8 *from, u64 to, u64 bytes)
{
	keep(image, from, to, bytes);
	return memory_read(vm, gpa(to), from, bytes);
}

/* From which the guest is started again, once everything is loaded. */
static int keep_image(struct vm *vm, const struct boot_module *kernel, const struct elf_image *elf,
	const struct boot_module *initrd, u64 initrd_address)
{
	const u64 pages = START_INFO_PAGE + PAGE_SIZE - ACPI_PAGE;
	const unsigned order = order_of(sizeof(struct guest_image) + pages + sizeof(reset_code));
	struct guest_image *image = hypervisor_alloc(order);
	const u8 *bytes = hpa_to_ptr(kernel->start);
	int err;

	if (!image)
		return -SLUICE_ENOMEM;
	image->entry = elf->entry;
	image->start_info = START_INFO_PAGE;
	for (unsigned i = 0; i < elf->count; i++)
		keep(image, bytes + elf->segments[i].offset, elf->segments[i].address,
			elf->segments[i].bytes);
	if (initrd)
		keep(image, hpa_to_ptr(initrd->start), initrd_address, initrd->bytes);
	err = keep_written(vm, image, image->written, ACPI_PAGE, pages);
	if (!err)
		err = keep_written(
			vm, image, image->written + pages, RESET_VECTOR, sizeof(reset_code));
	if (err) {
		hypervisor_free(image, order);
		return err;
	}
	vm->image = image;
	return 0;
}

int pvh_load(struct vm *vm, const struct boot_module *kernel, const struct boot_module *initrd)
{
	const char *guest = vm->config->name;
	u64 ram_end = low_ram_end(vm), initrd_address = 0;
	struct elf_image image;
	struct elf_error error;
	int err;

	if (ram_end < HIGH_RAM) {
		log_error("guest \"%s\": RAM of %lu bytes, valid is from %u", guest, ram_end,
			HIGH_RAM);
		return -SLUICE_EINVAL;
	}
	err = elf_read(hpa_to_ptr(kernel->start), kernel->bytes, ram_end, LOW_RAM_END,
		HIGH_RAM - LOW_RAM_END, &image, &error);
	if (err) {
		if (error.ranged)
			log_error("guest \"%s\": kernel \"%s\": %s is %#lx, valid is %#lx to %#lx",
				guest, kernel->name, error.what, error.value, error.low,
				error.high);
		else
			log_error(
				"guest \"%s\": kernel \"%s\" %s", guest, kernel->name, error.what);
		return err;
	}
	err = load_segments(vm, kernel, &image);
	if (err)
		return err;
	if (initrd) {
		err = load_initrd(vm, initrd, image.end, &initrd_address);
		if (err)
			return err;
	}
	err = write_acpi_tables(vm);
	if (!err)
		err = write_start_info(vm, initrd, initrd_address);
	if (!err)
		err = memory_write(vm, gpa(RESET_VECTOR), reset_code, sizeof(reset_code));
	if (err) {
		log_error("guest \"%s\": no memory for its ACPI tables and start info", guest);
		return err;
	}
	if (vm->config->restart != RESTART_NEVER &&
		keep_image(vm, kernel, &image, initrd, initrd_address))
		log_error("guest \"%s\": no memory for what it would be started from again", guest);
	image_enter(vm, image.entry, START_INFO_PAGE);
	return 0;
}
