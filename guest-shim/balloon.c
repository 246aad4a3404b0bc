/*
 * See balloon.h. At most one request is under way, with one array of frame numbers; the device's
 * interrupt continues the work. Nothing here sleeps but memory_last_resort(): where frames have to
 * be written to swap first, the disk's interrupt continues.
 */
#include "guest-shim/balloon.h"

#include <abi/platform.h>

#include "guest-shim/apic.h"
#include "guest-shim/clock.h"
#include "guest-shim/compact.h"
#include "guest-shim/counters.h"
#include "guest-shim/cpu.h"
#include "guest-shim/frames.h"
#include "guest-shim/panic.h"
#include "guest-shim/reclaim.h"
#include "guest-shim/swap.h"
#include "guest-shim/trap.h"
#include "guest-shim/virtio.h"
#include "guest-shim/volatile.h"

#define QUEUES  BALLOON_QUEUES
#define NOTHING QUEUES

#define CONFIG_NUM_PAGES (VIRTIO_MMIO_CONFIG + offsetof(struct balloon_config_space, num_pages))
#define CONFIG_ACTUAL    (VIRTIO_MMIO_CONFIG + offsetof(struct balloon_config_space, actual))

#define QUEUE_SIZE 2u
/* Frames given one by one in one request. */
#define SINGLES_MAX 256u
#define BLOCKS_MAX  (PLATFORM_HOLE_START / BLOCK_SIZE)

/* How long a unit stays free before it is reported. */
#define REPORT_NS 250000000u

struct queue {
	struct virtq_desc desc[QUEUE_SIZE];
	VIRTQ_AVAIL(QUEUE_SIZE) available;
	VIRTQ_USED(QUEUE_SIZE) used;
};

/* What the device reads and writes. */
static struct {
	struct queue queues[QUEUES] __aligned_to(16);
	struct balloon_statistic stats[BALLOON_STATS];
	u32 numbers[BLOCK_PAGES];
} shared __aligned_to(PAGE_SIZE);

static u64 base; /* 0: there is no balloon */
static unsigned own_slot;
static u32 features;

static unsigned held = 1; /* balloon_hold() */
static bool wanted;       /* there may be something to do */
static bool stuck;        /* nothing can leave: until the device's next interrupt */
static bool content;      /* out of memory once: until it is asked again */
static bool reports;      /* negotiated */
static bool looking;      /* for units to report: from each request for statistics on */
static unsigned under_way = NOTHING;
static u32 under_way_count;
static u32 reported_unit; /* whose report is under way: its first frame */

static u32 target;    /* frames that should be in the balloon */
static u32 ballooned; /* frames in the balloon, as the device knows */
static u32 singles = FRAME_NONE;
static u16 blocks[BLOCKS_MAX]; /* first frame / BLOCK_PAGES */
static u32 block_count;

/* ---- Requests ----------------------------------------------------------------------------------
 */

static void submit(unsigned index, const void *bytes, u32 length, u16 flags)
{
	struct queue *queue = &shared.queues[index];

	queue->desc[0] = (struct virtq_desc){
		.address = (u64)bytes, .bytes = length, .flags = flags};
	queue->available.ring[queue->available.index % QUEUE_SIZE] = 0;
	__atomic_store_n(
		&queue->available.index, (u16)(queue->available.index + 1), __ATOMIC_RELEASE);
	mmio_write32(base + VIRTIO_MMIO_QUEUE_NOTIFY, index);
}

/* One request a queue: it is done when the device has used as many as it was offered. */
static bool is_done(unsigned index)
{
	const struct queue *queue = &shared.queues[index];

	return __atomic_load_n(&queue->used.index, __ATOMIC_ACQUIRE) == queue->available.index;
}

static void request(unsigned index, u32 count)
{
	under_way = index;
	under_way_count = count;
	submit(index, shared.numbers, count * sizeof(u32), 0);
}

static void reap(void)
{
	if (under_way == NOTHING || !is_done(under_way))
		return;
	if (under_way == BALLOON_INFLATE) {
		ballooned += under_way_count;
		counters.balloon_in += under_way_count;
	} else if (under_way == BALLOON_REPORTING) {
		for (u32 i = 0; i < BLOCK_PAGES; i++)
			frames_reported(reported_unit + i);
		counters.balloon_reported += BLOCK_PAGES;
		under_way = NOTHING;
		return;
	} else {
		for (u32 i = 0; i < under_way_count; i++)
			frames_regain(shared.numbers[i]);
		ballooned -= under_way_count;
		counters.balloon_out += under_way_count;
	}
	under_way = NOTHING;
	mmio_write32(base + CONFIG_ACTUAL, ballooned);
}

/* ---- Frames go and come ------------------------------------------------------------------------
 */

static bool give_block(void)
{
	u32 first;

	if (block_count == BLOCKS_MAX)
		return false;
	first = compact_block();
	if (first == FRAME_NONE)
		return false;
	blocks[block_count++] = (u16)(first / BLOCK_PAGES);
	for (u32 i = 0; i < BLOCK_PAGES; i++)
		shared.numbers[i] = first + i;
	counters.balloon_blocks++;
	request(BALLOON_INFLATE, BLOCK_PAGES);
	return true;
}

static void single_push(u32 frame)
{
	frames[frame].slot = singles;
	singles = frame;
}

static void give_singles(u32 count)
{
	compact_singles(shared.numbers, count);
	for (u32 i = 0; i < count; i++)
		single_push(shared.numbers[i]);
	request(BALLOON_INFLATE, count);
}

static void inflate(u32 need)
{
	u32 spare = memory_low(),
	    count = need >= BLOCK_PAGES ? BLOCK_PAGES : MIN(need, SINGLES_MAX);
	bool enough = memory_make_free(count + spare);

	if (!enough && swap_writing())
		return; /* their interrupts lead back here */
	stuck = !enough;
	if (enough && count == BLOCK_PAGES && give_block())
		return;
	if (frames_free() > spare)
		give_singles(MIN(MIN(frames_free() - spare, need), SINGLES_MAX));
}

/* The frames of the last block become single ones. */
static void break_block(void)
{
	u32 first = blocks[--block_count] * BLOCK_PAGES;

	for (u32 i = 0; i < BLOCK_PAGES; i++)
		single_push(first + i);
}

static void deflate(u32 count)
{
	u32 taken = 0;

	if (count >= BLOCK_PAGES && block_count > 0) {
		u32 first = blocks[--block_count] * BLOCK_PAGES;

		for (; taken < BLOCK_PAGES; taken++)
			shared.numbers[taken] = first + taken;
	} else {
		if (singles == FRAME_NONE)
			break_block();
		count = MIN(count, SINGLES_MAX);
		for (; taken < count && singles != FRAME_NONE; taken++) {
			shared.numbers[taken] = singles;
			singles = frames[singles].slot;
		}
	}
	request(BALLOON_DEFLATE, taken);
}

/* A unit that stayed free for a while. Until the report is done nobody uses it; afterwards whoever
 * touches it has it again (virtio 1.2, 5.5.6.7). */
static void report(void)
{
	u32 first = FRAME_NONE;

	/* What is left meanwhile is enough that nothing is evicted for it. */
	if (frames_free() >= BLOCK_PAGES + 2 * memory_low())
		first = compact_unused(clock_ns(), REPORT_NS);
	if (first == FRAME_NONE) {
		looking = false;
		return;
	}
	under_way = BALLOON_REPORTING;
	reported_unit = first;
	submit(BALLOON_REPORTING, frame_pointer(first), (u32)BLOCK_SIZE, VIRTQ_DESC_WRITE);
}

/* With interrupts off, and nothing held. */
static void work(void)
{
	wanted = false;
	reap();
	if (under_way != NOTHING)
		return;
	if (target > ballooned && !content && !stuck)
		inflate(target - ballooned);
	else if (target < ballooned)
		deflate(ballooned - target);
	else if (looking)
		report();
}

/* Sleeps until the request under way is done. */
static void finish(void)
{
	while (under_way != NOTHING && !is_done(under_way))
		wait_for_interrupt();
	reap();
}

/* Port of reclaim.c. */
bool memory_last_resort(void)
{
	u64 flags;

	if (!base || (!ballooned && under_way == NOTHING))
		return false;
	flags = interrupts_save();
	if (under_way == BALLOON_REPORTING) {
		finish(); /* it was free all the time */
	} else {
		content = true;
		counters.balloon_emergencies++;
		do {
			if (under_way == NOTHING && ballooned)
				deflate(MIN(ballooned, BLOCK_PAGES));
			finish();
		} while (!frames_free() && ballooned);
	}
	interrupts_restore(flags);
	return frames_free() > 0;
}

/* ---- When --------------------------------------------------------------------------------------
 */

void balloon_hold(void)
{
	held++;
}

void balloon_release(void)
{
	u64 flags;

	if (--held > 0 || !wanted)
		return;
	flags = interrupts_save();
	if (wanted)
		work();
	interrupts_restore(flags);
}

void balloon_poll(void)
{
	if (target == ballooned && under_way == NOTHING && !looking)
		return;
	wanted = true;
	if (held == 0)
		work();
}

/* ---- Statistics --------------------------------------------------------------------------------
 */

static void stat_set(unsigned tag, u64 value)
{
	shared.stats[tag] = (struct balloon_statistic){.tag = (u16)tag, .value = value};
}

/* What came back from preswap counts as a major fault, but not as swapped: no disk was used. */
static void statistics_send(void)
{
	u64 major = counters.swap_reads + counters.preswap_hits;
	u64 file = replace_length(&replace, LIST_FILE_INACTIVE) +
		   replace_length(&replace, LIST_FILE_ACTIVE);

	stat_set(BALLOON_STAT_SWAP_IN, counters.swap_reads * PAGE_SIZE);
	stat_set(BALLOON_STAT_SWAP_OUT, counters.swap_writes * PAGE_SIZE);
	stat_set(BALLOON_STAT_MAJOR_FAULTS, major);
	stat_set(BALLOON_STAT_MINOR_FAULTS, counters.faults - MIN(counters.faults, major));
	stat_set(BALLOON_STAT_FREE, (u64)frames_free() * PAGE_SIZE);
	stat_set(BALLOON_STAT_TOTAL, (u64)frames_total() * PAGE_SIZE);
	stat_set(BALLOON_STAT_AVAILABLE, (frames_free() + file) * PAGE_SIZE);
	stat_set(BALLOON_STAT_CACHES, file * PAGE_SIZE);
	submit(BALLOON_STATISTICS, shared.stats, sizeof(shared.stats), 0);
}

static void target_read(void)
{
	target = mmio_read32(base + CONFIG_NUM_PAGES);
	content = false;
}

bool balloon_interrupt(unsigned slot)
{
	u32 status;

	if (!base || slot != own_slot)
		return false;
	/* Acknowledged before anything is read: what happens later interrupts again. */
	status = mmio_read32(base + VIRTIO_MMIO_INTERRUPT_STATUS);
	mmio_write32(base + VIRTIO_MMIO_INTERRUPT_ACKNOWLEDGE, status);
	if (status & VIRTIO_INTERRUPT_CONFIG)
		target_read();
	stuck = false;
	if ((features & BALLOON_F_STATS_VQ) && is_done(BALLOON_STATISTICS)) {
		statistics_send();
		looking = reports;
	}
	return true;
}

/* ---- Start -------------------------------------------------------------------------------------
 */

/* That of reports has its number from the driver's having statistics and no free page hints. */
static bool has_queue(unsigned index)
{
	if (index == BALLOON_STATISTICS)
		return features & BALLOON_F_STATS_VQ;
	return index != BALLOON_REPORTING || reports;
}

static void start(u64 window, unsigned slot, u32 gsi, bool report)
{
	u64 reporting = report && !volatile_is_on() ? BALLOON_F_PAGE_REPORTING : 0;

	features = virtio_negotiate(window, slot,
		BALLOON_F_MUST_TELL_HOST | BALLOON_F_STATS_VQ | BALLOON_F_DEFLATE_ON_OOM |
			reporting);
	reports = (features & BALLOON_F_PAGE_REPORTING) && (features & BALLOON_F_STATS_VQ);
	for (unsigned i = 0; i < QUEUES; i++) {
		struct queue *queue = &shared.queues[i];

		if (has_queue(i))
			virtio_queue_start(window, slot, i, QUEUE_SIZE, queue->desc,
				&queue->available, &queue->used);
	}
	own_slot = slot;
	base = window;
	ioapic_route(gsi, (u8)(VECTOR_DEVICE + slot));
	virtio_driver_ok(window);
	if (features & BALLOON_F_STATS_VQ)
		statistics_send();
	target_read();
	wanted = target > 0;
}

void balloon_init(u64 windows, u64 stride, u32 gsi, bool report)
{
	for (unsigned slot = 0; slot < PLATFORM_VIRTIO_SLOTS && !base; slot++) {
		u64 window = windows + slot * stride;

		if (gsi + slot < PLATFORM_IOAPIC_PINS && virtio_is_there(window, VIRTIO_ID_BALLOON))
			start(window, slot, gsi + slot, report);
	}
}
