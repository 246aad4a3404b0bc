/*
 * See counters.h.
 */
#include "counters.h"

#include <linux/device.h>

atomic64_t swap_counters[COUNTERS];
atomic64_t cache_counters[CACHE_COUNTERS];

static ssize_t counter_show(struct device *device, struct device_attribute *attribute, char *buffer)
{
	struct dev_ext_attribute *counter = container_of(attribute, struct dev_ext_attribute, attr);

	return sysfs_emit(buffer, "%lld\n", (s64)atomic64_read(counter->var));
}

#define COUNTER_FILE(file, counter)                                                                \
	{                                                                                          \
		__ATTR(file, 0444, counter_show, NULL), &(counter)                                 \
	}

static struct dev_ext_attribute swap_files[COUNTERS] = {
	COUNTER_FILE(puts, swap_counters[COUNTER_PUTS]),
	COUNTER_FILE(refused, swap_counters[COUNTER_REFUSED]),
	COUNTER_FILE(gets, swap_counters[COUNTER_GETS]),
	COUNTER_FILE(hits, swap_counters[COUNTER_HITS]),
	COUNTER_FILE(flushes, swap_counters[COUNTER_FLUSHES]),
	COUNTER_FILE(stored, swap_counters[COUNTER_STORED]),
	COUNTER_FILE(lost, swap_counters[COUNTER_LOST]),
	COUNTER_FILE(disk_writes, swap_counters[COUNTER_DISK_WRITES]),
	COUNTER_FILE(disk_reads, swap_counters[COUNTER_DISK_READS]),
};

static struct dev_ext_attribute cache_files[CACHE_COUNTERS] = {
	COUNTER_FILE(puts, cache_counters[CACHE_PUTS]),
	COUNTER_FILE(refused, cache_counters[CACHE_REFUSED]),
	COUNTER_FILE(gets, cache_counters[CACHE_GETS]),
	COUNTER_FILE(hits, cache_counters[CACHE_HITS]),
	COUNTER_FILE(flushes, cache_counters[CACHE_FLUSHES]),
	COUNTER_FILE(changed, cache_counters[CACHE_CHANGED]),
	COUNTER_FILE(disk_writes, cache_counters[CACHE_DISK_WRITES]),
	COUNTER_FILE(disk_reads, cache_counters[CACHE_DISK_READS]),
};

#define FILE_OF(files, i) (&(files)[i].attr.attr)

static struct attribute *swap_attributes[] = {FILE_OF(swap_files, 0), FILE_OF(swap_files, 1),
	FILE_OF(swap_files, 2), FILE_OF(swap_files, 3), FILE_OF(swap_files, 4),
	FILE_OF(swap_files, 5), FILE_OF(swap_files, 6), FILE_OF(swap_files, 7),
	FILE_OF(swap_files, 8), NULL};
static_assert(ARRAY_SIZE(swap_attributes) == COUNTERS + 1);

static struct attribute *cache_attributes[] = {FILE_OF(cache_files, 0), FILE_OF(cache_files, 1),
	FILE_OF(cache_files, 2), FILE_OF(cache_files, 3), FILE_OF(cache_files, 4),
	FILE_OF(cache_files, 5), FILE_OF(cache_files, 6), FILE_OF(cache_files, 7), NULL};
static_assert(ARRAY_SIZE(cache_attributes) == CACHE_COUNTERS + 1);

static const struct attribute_group swap_group = {.name = "tmem", .attrs = swap_attributes};
static const struct attribute_group cache_group = {.name = "tmem", .attrs = cache_attributes};

const struct attribute_group *swap_counter_groups[] = {&swap_group, NULL};
const struct attribute_group *cache_counter_groups[] = {&cache_group, NULL};
