/*
 * See counters.h.
 */
#include "counters.h"

#include <linux/device.h>

atomic64_t swap_counters[COUNTERS];

static ssize_t counter_show(struct device *device, struct device_attribute *attribute, char *buffer)
{
	struct dev_ext_attribute *counter = container_of(attribute, struct dev_ext_attribute, attr);

	return sysfs_emit(buffer, "%lld\n", (s64)atomic64_read(counter->var));
}

#define COUNTER_FILE(name, counter)                                                                \
	static struct dev_ext_attribute name##_file = {                                            \
		__ATTR(name, 0444, counter_show, NULL), &swap_counters[counter]}

COUNTER_FILE(puts, COUNTER_PUTS);
COUNTER_FILE(refused, COUNTER_REFUSED);
COUNTER_FILE(gets, COUNTER_GETS);
COUNTER_FILE(hits, COUNTER_HITS);
COUNTER_FILE(flushes, COUNTER_FLUSHES);
COUNTER_FILE(stored, COUNTER_STORED);
COUNTER_FILE(lost, COUNTER_LOST);
COUNTER_FILE(disk_writes, COUNTER_DISK_WRITES);
COUNTER_FILE(disk_reads, COUNTER_DISK_READS);

static struct attribute *files[] = {
	&puts_file.attr.attr,
	&refused_file.attr.attr,
	&gets_file.attr.attr,
	&hits_file.attr.attr,
	&flushes_file.attr.attr,
	&stored_file.attr.attr,
	&lost_file.attr.attr,
	&disk_writes_file.attr.attr,
	&disk_reads_file.attr.attr,
	NULL,
};

static const struct attribute_group group = {.name = "tmem", .attrs = files};

const struct attribute_group *swap_counter_groups[] = {&group, NULL};
