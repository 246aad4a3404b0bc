/*
 * What the two disks count, in pages: /sys/block/sluice_swap0/tmem/ and
 * /sys/block/sluice_cache0/tmem/, one file each.
 */
#ifndef LINUX_COUNTERS_H
#define LINUX_COUNTERS_H

#include <linux/atomic.h>
#include <linux/sysfs.h>

enum swap_counter {
	COUNTER_PUTS,    /* asked of tmem */
	COUNTER_REFUSED, /* of these */
	COUNTER_GETS,    /* asked of tmem, also for what it was known not to have */
	COUNTER_HITS,    /* of these */
	COUNTER_FLUSHES,
	COUNTER_STORED, /* in tmem now */
	COUNTER_LOST,   /* reads that failed since tmem did not give back what it had taken */
	COUNTER_DISK_WRITES,
	COUNTER_DISK_READS,
	COUNTERS
};

enum cache_counter {
	CACHE_PUTS,    /* asked of tmem */
	CACHE_REFUSED, /* of these */
	CACHE_GETS,    /* asked of tmem: pages that were put since they were last asked for */
	CACHE_HITS,    /* of these */
	CACHE_FLUSHES,
	CACHE_CHANGED, /* frames left that had been read from the disk, but it or they had changed
			*/
	CACHE_DISK_WRITES,
	CACHE_DISK_READS,
	CACHE_COUNTERS
};

extern atomic64_t swap_counters[COUNTERS];
extern atomic64_t cache_counters[CACHE_COUNTERS];

/* For device_add_disk(). */
extern const struct attribute_group *swap_counter_groups[];
extern const struct attribute_group *cache_counter_groups[];

static inline void count(enum swap_counter counter)
{
	atomic64_inc(&swap_counters[counter]);
}

static inline void cache_count(enum cache_counter counter, u64 pages)
{
	atomic64_add(pages, &cache_counters[counter]);
}

#endif
