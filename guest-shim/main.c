/*
 * A guest's start, from the PVH entry to main().
 */
#include <stdlib.h>

#include "guest-shim/anon.h"
#include "guest-shim/apic.h"
#include "guest-shim/area.h"
#include "guest-shim/balloon.h"
#include "guest-shim/cache.h"
#include "guest-shim/clock.h"
#include "guest-shim/command_line.h"
#include "guest-shim/disk.h"
#include "guest-shim/file_index.h"
#include "guest-shim/files.h"
#include "guest-shim/flip.h"
#include "guest-shim/frames.h"
#include "guest-shim/hypercall.h"
#include "guest-shim/operator.h"
#include "guest-shim/paging.h"
#include "guest-shim/panic.h"
#include "guest-shim/reclaim.h"
#include "guest-shim/rng.h"
#include "guest-shim/shim.h"
#include "guest-shim/slots.h"
#include "guest-shim/start_info.h"
#include "guest-shim/swap.h"
#include "guest-shim/threads_init.h"
#include "guest-shim/tmem_client.h"
#include "guest-shim/trap.h"
#include "guest-shim/virtio_console.h"

struct hvm_start_info;

void shim_main(const struct hvm_start_info *hvm);
void stack_run(void *top, void (*function)(void)) __attribute__((noreturn));
void __libc_init_array(void);
int main(int argc, char **argv, char **environment);

static struct start_info start_info;
static struct options options;
static char *no_environment[] = {NULL};

static void options_read(void)
{
	static char name[] = "guest";
	const char *bad;

	if (command_line_parse(start_info.command_line, name, &options, &bad) != 0)
		panic("the command line is not understood at \"%s\"", bad);
}

static void data_disk_init(struct disk *disk)
{
	if (!disk)
		return;
	file_index_init(area_extend(AREA_FILE_INDEX, cache_pages_of(disk) * sizeof(u32)));
	cache_init(disk);
	files_mount(disk);
}

static void swap_disk_init(struct disk *disk)
{
	swap_init(disk, area_extend(AREA_SLOT_MAP, slots_map_bytes(swap_slots_of(disk))));
}

/* On the application's stack, with interrupts on from here to the end. */
static void application_run(void)
{
	__asm__ volatile("sti" : : : "memory");
	if (options.virtio_console &&
		!virtio_console_init(options.virtio_base, options.virtio_stride))
		panic("console=virtio, but there is no such device");
	operator_init();
	rng_init(options.virtio_base, options.virtio_stride, options.virtio_gsi);
	disk_init(options.virtio_base, options.virtio_stride, options.virtio_gsi);
	balloon_init(
		options.virtio_base, options.virtio_stride, options.virtio_gsi, options.report);
	if (options.flip)
		flip_init(&start_info);
	tmem_client_init(options.precache, options.preswap, options.filter);
	swap_disk_init(disk_find("swap"));
	reclaim_init();
	data_disk_init(disk_find("data"));
	anon_init();
	__libc_init_array();
	balloon_release();
	exit(main(options.argc, options.argv, no_environment));
}

void shim_main(const struct hvm_start_info *hvm)
{
	char *stack;

	hypercall_init();
	descriptors_init();
	start_info_read(&start_info, hvm);
	options_read();
	paging_init();
	frames_init(&start_info, options.swappiness, options.volatiles);
	clock_init(options.tsc_khz);
	apic_init();
	threads_init();
	stack = area_extend(AREA_STACK, SHIM_STACK_BYTES);
	panic_set_stack((u64)stack, (u64)stack + SHIM_STACK_BYTES);
	stack_run(stack + SHIM_STACK_BYTES, application_run);
}
