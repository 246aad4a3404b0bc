/*
 * The frame table at boot: built from what GRUB left (boot_info()), and boot-time ranges that
 * change hands later (modules released or kept as RAM disks). Runs once on the boot CPU, except for
 * the ranges.
 */
#include <abi/errno.h>

#include "kernel/core/bug.h"
#include "kernel/core/frame_internal.h"
#include "kernel/core/log.h"

/* Free list links are 32-bit frame numbers: RAM beyond 16 TiB stays unused. */
#define MFN_LIMIT 0xfffffff0UL

/* A run of frames, [start, end). */
struct run {
	u64 start, end;
};

static struct run run_of(const struct boot_range *range)
{
	return (struct run){
		.start = MIN(range->start.raw / PAGE_SIZE, MFN_LIMIT),
		.end = MIN((range->start.raw + range->bytes) / PAGE_SIZE, MFN_LIMIT),
	};
}

/* Marks the frames of @run. */
static void set_class(struct run run, enum frame_class class, u32 refs)
{
	const struct frame mark = {.class = (u8) class, .order = FRAME_NO_ORDER, .refs = refs};
	struct frame *end = frames.table + run.end;

	if (run.start >= run.end)
		return;
	/* The one loop at boot over all of memory: whole, not field by field. */
	for (struct frame *frame = frames.table + run.start; frame < end; frame++)
		__builtin_memcpy(frame, &mark, sizeof(mark));
	frames.count[class] += run.end - run.start;
}

/* Gives @run to the allocator in the largest naturally aligned blocks. */
static void add_free(struct run run)
{
	set_class(run, FRAME_FREE, 0);
	while (run.start < run.end) {
		unsigned order = FRAME_MAX_ORDER;

		while (run.start % (1UL << order) != 0 || run.start + (1UL << order) > run.end)
			order--;
		frames_insert((u32)run.start, order);
		run.start += 1UL << order;
	}
}

/* One range of RAM: its used parts to the hypervisor, the gaps between them to the allocator. */
static void add_ram(const struct boot_info *info, struct run ram)
{
	u64 at = ram.start;

	for (unsigned i = 0; i < info->used_count; i++) {
		struct run used = run_of(&info->used[i]);

		used.start = MAX(used.start, at);
		used.end = MIN(used.end, ram.end);
		if (used.start >= used.end)
			continue;
		add_free((struct run){at, used.start});
		set_class(used, FRAME_HYPERVISOR, 1);
		at = used.end;
	}
	if (at < ram.end)
		add_free((struct run){at, ram.end});
	frames.total += ram.end - ram.start;
}

int frames_init(void)
{
	const struct boot_info *info = boot_info();
	u64 end = 0;

	for (unsigned i = 0; i < info->ram_count; i++)
		end = MAX(end, run_of(&info->ram[i]).end);
	frames = (struct frames){.lock = SPINLOCK(LOCK_FRAMES), .end = end};
	for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++)
		frames.heads[order] = FRAME_NONE;

	frames.table = arch_early_alloc(end * sizeof(struct frame), PAGE_SIZE);
	if (!frames.table) {
		log_error("memory: no room for the frame table: %lu KiB wanted for %lu MiB of RAM",
			(unsigned long)(end * sizeof(struct frame) / KIB(1)),
			(unsigned long)(end * PAGE_SIZE / MIB(1)));
		return -SLUICE_ENOMEM;
	}
	arch_early_seal();

	_Static_assert(FRAME_ABSENT == 0, "the zeroed table says that there is no RAM");
	for (unsigned i = 0; i < info->ram_count; i++)
		add_ram(info, run_of(&info->ram[i]));
	frames_update_reserve();
	log_info("memory: %lu MiB of RAM, %lu MiB free, %lu KiB in use",
		(unsigned long)(frames.total * PAGE_SIZE / MIB(1)),
		(unsigned long)(frames_free() * PAGE_SIZE / MIB(1)),
		(unsigned long)(frames_of_class(FRAME_HYPERVISOR) * PAGE_SIZE / KIB(1)));
	return 0;
}

static struct run run_touched(hpa_t start, u64 bytes)
{
	return (struct run){
		.start = start.raw / PAGE_SIZE,
		.end = ROUND_UP(start.raw + bytes, PAGE_SIZE) / PAGE_SIZE,
	};
}

void frames_release_range(hpa_t start, u64 bytes)
{
	struct run run = run_touched(start, bytes);

	for (u64 at = run.start; at < run.end; at++)
		frame_free(mfn(at), 0);
}

void frames_claim_range(hpa_t start, u64 bytes, enum frame_class class)
{
	struct run run = run_touched(start, bytes);

	frames_change_class(mfn(run.start), run.end - run.start, FRAME_HYPERVISOR, class, 0);
}
