/*
 * What the swap disk counts, in pages: /sys/block/sluice_swap0/tmem/, one file each.
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

extern atomic64_t swap_counters[COUNTERS];

/* For device_add_disk(). */
extern const struct attribute_group *swap_counter_groups[];

static inline void count(enum swap_counter counter)
{
	atomic64_inc(&swap_counters[counter]);
}

#endif
