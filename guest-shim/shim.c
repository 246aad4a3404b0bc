/*
 * The functions of shim.h in a guest.
 */
#include "guest-shim/shim.h"

#include "guest-shim/anon.h"
#include "guest-shim/balloon.h"
#include "guest-shim/clock.h"
#include "guest-shim/counters.h"
#include "guest-shim/files.h"
#include "guest-shim/frames.h"
#include "guest-shim/operator.h"
#include "guest-shim/swap.h"

uint64_t shim_time_ns(void)
{
	return clock_ns();
}

void shim_sleep_until(uint64_t ns)
{
	clock_sleep_until(ns);
}

bool shim_shutdown_requested(void)
{
	return operator_has_asked();
}

void *shim_alloc_anonymous(size_t bytes)
{
	return anon_allocate(bytes);
}

void shim_discard_anonymous(void *start, size_t bytes)
{
	balloon_hold();
	anon_discard(start, bytes);
	balloon_release();
}

int shim_file_at(unsigned index, struct shim_file *file)
{
	const struct file *found = files_at(index);

	if (!found)
		return -1;
	file->name = found->name;
	file->size = found->size;
	return 0;
}

void shim_statistics(struct shim_statistics *statistics)
{
	u32 file = replace_length(&replace, LIST_FILE_INACTIVE) +
		   replace_length(&replace, LIST_FILE_ACTIVE);
	u32 anonymous = replace_length(&replace, LIST_ANON_INACTIVE) +
			replace_length(&replace, LIST_ANON_ACTIVE);

	*statistics = (struct shim_statistics){
		.total = frames_total(),
		.free = frames_free(),
		.file = file,
		.anonymous = anonymous + swap_writing(),
		.fixed = frames_fixed() - swap_writing(),
		.cache_hits = counters.cache_hits,
		.cache_misses = counters.cache_misses,
		.first_reads = counters.first_reads,
		.disk_reads = counters.disk_reads,
		.precache_puts = counters.precache_puts,
		.precache_hits = counters.precache_hits,
		.faults = counters.faults,
		.swap_writes = counters.swap_writes,
		.swap_reads = counters.swap_reads,
		.preswap_puts = counters.preswap_puts,
		.preswap_hits = counters.preswap_hits,
	};
}
