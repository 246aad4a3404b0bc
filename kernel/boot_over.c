/*
 * Boot is over: the image shrinks to what stays, and the boot CPU goes on in its dispatch loop. The
 * others are in theirs already, or on their way there, so the world is stopped meanwhile.
 */
#include "kernel/boot_over.h"

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/dispatch.h"
#include "kernel/summary.h"
#include "kernel/world.h"

static void release_init(void)
{
	struct boot_range range;
	u64 text_bytes;

	world_stop();
	range = arch_release_init(&text_bytes);
	world_resume();
	for (u64 at = 0; at < range.bytes; at += PAGE_SIZE)
		frame_free(hpa_to_mfn(hpa(range.start.raw + at)), 0);
	log_info("boot is over: %lu KiB of its own given back, %lu KiB of them text",
		(unsigned long)(range.bytes / KIB(1)),
		(unsigned long)(ROUND_UP(text_bytes, KIB(1)) / KIB(1)));
}

void boot_over(void)
{
	release_init();
	summary_note_start();
	dispatch();
}
