/* See samples.h. */
#include "kernel/samples.h"

#include <string.h>

#include "kernel/core/timer.h"
#include "kernel/virtio/blk.h"
#include "kernel/vm/memory_idle.h"
#include "kernel/vm/refaults.h"

#define SECTORS_PER_PAGE 8
#define SWAP_DISK        "swap"

/* Statistics older than so many ticks are no longer what the guest is like. */
#define STATS_TICKS_MAX 4u

static u64 since(u64 now, u64 *last)
{
	u64 passed = now >= *last ? now - *last : 0;

	*last = now;
	return passed;
}

static void sample_disks(struct vm *vm, struct counters *now)
{
	struct vm_disk_stats stats;

	for (unsigned i = 0; i < vm->config->disk_count; i++) {
		if (!disk_stats(vm, i, NULL, &stats))
			continue;
		now->reads += stats.read_sectors / SECTORS_PER_PAGE;
		if (strcmp(vm->config->disks[i].name, SWAP_DISK) == 0) {
			now->reads += stats.write_sectors / SECTORS_PER_PAGE;
			now->swapped += (stats.read_sectors + stats.write_sectors) /
					SECTORS_PER_PAGE;
			now->swap_reads += stats.read_sectors / SECTORS_PER_PAGE;
		} else {
			now->rereads += (stats.read_sectors - stats.first_sectors) /
					SECTORS_PER_PAGE;
		}
	}
}

static void sample_tmem(struct vm *vm, struct counters *now, struct balloon_sample *sample)
{
	struct tmem_client_stats stats;

	if (!vm->tmem)
		return;
	tmem_client_stats(vm->tmem, &stats);
	sample->pool = stats.ephemeral_pages;
	now->puts[BALLOON_EPHEMERAL] = stats.puts - stats.persistent_puts;
	now->gets[BALLOON_EPHEMERAL] = stats.ephemeral_gets;
	now->hits[BALLOON_EPHEMERAL] = stats.ephemeral_hits;
	now->puts[BALLOON_PERSISTENT] = stats.persistent_puts;
	now->gets[BALLOON_PERSISTENT] = stats.persistent_gets;
	now->hits[BALLOON_PERSISTENT] = stats.persistent_hits;
}

/*
 * What the guest asked for again and did not get from tmem, and what tmem did not take and went to
 * swap: counted by its disks, since most misses never reach the store (miss filters), and a guest
 * need not use tmem at all.
 */
static void note_events(
	struct balloon_sample *sample, const struct counters *now, struct counters *last)
{
	const u64 missed[BALLOON_CLASSES] = {
		[BALLOON_EPHEMERAL] = since(now->rereads, &last->rereads),
		[BALLOON_PERSISTENT] = since(now->swapped, &last->swapped),
	};

	for (unsigned class = 0; class < BALLOON_CLASSES; class ++) {
		u64 hits = since(now->hits[class], &last->hits[class]);
		u64 gets = since(now->gets[class], &last->gets[class]);

		sample->tmem[class].puts = since(now->puts[class], &last->puts[class]);
		sample->tmem[class].hits = hits;
		sample->tmem[class].gets = MAX(gets, hits + missed[class]);
	}
	sample->disk_reads = since(now->reads, &last->reads);
	sample->refaults = missed[BALLOON_EPHEMERAL] + since(now->swap_reads, &last->swap_reads);
}

static u64 pages_told(const struct balloon_status *status, enum balloon_stat stat)
{
	u64 bytes = status->stats[stat];

	return bytes == BALLOON_STAT_UNKNOWN ? BALLOON_UNKNOWN : bytes / PAGE_SIZE;
}

static u64 events_told(const struct balloon_status *status, enum balloon_stat stat,
	struct counters *last, u64 unit)
{
	u64 now = status->stats[stat];

	return now == BALLOON_STAT_UNKNOWN ? BALLOON_UNKNOWN : since(now, &last->told[stat]) / unit;
}

static void take_statistics(
	struct balloon_sample *sample, const struct balloon_status *status, struct counters *last)
{
	if (status->stats_age == BALLOON_NEVER || status->stats_age > STATS_TICKS_MAX)
		return;
	sample->free = pages_told(status, BALLOON_STAT_FREE);
	sample->available = pages_told(status, BALLOON_STAT_AVAILABLE);
	sample->caches = pages_told(status, BALLOON_STAT_CACHES);
	sample->major_faults = events_told(status, BALLOON_STAT_MAJOR_FAULTS, last, 1);
	sample->swap_in = events_told(status, BALLOON_STAT_SWAP_IN, last, PAGE_SIZE);
	sample->swap_out = events_told(status, BALLOON_STAT_SWAP_OUT, last, PAGE_SIZE);
}

static u64 cpu_ticks(const struct vm *vm)
{
	u64 ticks = 0;

	for (unsigned i = 0; i < vm->vcpu_count; i++)
		ticks += READ_ONCE(vm->vcpus[i]->cpu_ticks);
	return ticks;
}

void sample_take(struct vm *vm, const struct balloon_status *status, u64 size,
	struct counters *last, struct balloon_sample *sample)
{
	struct counters now = {0};

	*sample = (struct balloon_sample){
		.actual = size,
		.untouched = status->size_pages - MIN(status->size_pages, status->populated_pages),
		.min = vm->config->memory_min >> PAGE_SHIFT,
		.max = status->max_pages,
		.responsive = status->responsive,
		.ghosts = vm->refaults ? &vm->refaults->ghosts : NULL,
		.priority = vm->config->priority,
		.max_refaults_per_second = vm->config->max_refaults_per_second,
		.free = BALLOON_UNKNOWN,
		.available = BALLOON_UNKNOWN,
		.caches = BALLOON_UNKNOWN,
		.major_faults = BALLOON_UNKNOWN,
		.swap_in = BALLOON_UNKNOWN,
		.swap_out = BALLOON_UNKNOWN,
	};
	sample->idle_known = memory_idle_sample(vm, sample->idle, sample->touched);
	sample_disks(vm, &now);
	sample_tmem(vm, &now, sample);
	note_events(sample, &now, last);
	take_statistics(sample, status, last);
	sample->cpu_ns = us_from_ticks(since(cpu_ticks(vm), &last->cpu_ticks)) * 1000;
}
