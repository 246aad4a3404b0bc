/*
 * Lists of disjoint, ascending address ranges. Neighbours that touch are merged, so that the same
 * set of addresses has one form. Pure: no globals, compiles hosted (tests/unit/test_ranges.c).
 */
#include "arch/x86/ranges.h"

#include <abi/errno.h>

static u64 range_end(const struct boot_range *range)
{
	return range->start.raw + range->bytes;
}

static void remove_at(struct ranges list, unsigned first, unsigned count)
{
	for (unsigned i = first; i + count < *list.count; i++)
		list.at[i] = list.at[i + count];
	*list.count -= count;
}

static int insert_at(struct ranges list, unsigned index, u64 start, u64 end)
{
	if (*list.count == list.max)
		return -SLUICE_ENOSPC;
	for (unsigned i = *list.count; i > index; i--)
		list.at[i] = list.at[i - 1];
	list.at[index] = (struct boot_range){hpa(start), end - start};
	++*list.count;
	return 0;
}

int ranges_add(struct ranges list, u64 start, u64 end)
{
	unsigned first = 0, last;

	if (start >= end)
		return 0;
	while (first < *list.count && range_end(&list.at[first]) < start)
		first++;
	for (last = first; last < *list.count && list.at[last].start.raw <= end; last++) {
		start = MIN(start, list.at[last].start.raw);
		end = MAX(end, range_end(&list.at[last]));
	}
	if (last == first)
		return insert_at(list, first, start, end);
	list.at[first] = (struct boot_range){hpa(start), end - start};
	remove_at(list, first + 1, last - first - 1);
	return 0;
}

int ranges_remove(struct ranges list, u64 start, u64 end)
{
	unsigned i = 0;

	if (start >= end)
		return 0;
	while (i < *list.count && list.at[i].start.raw < end) {
		u64 low = list.at[i].start.raw, high = range_end(&list.at[i]);

		if (high <= start) {
			i++;
		} else if (low >= start && high <= end) {
			remove_at(list, i, 1);
		} else if (low < start && high > end) {
			if (insert_at(list, i + 1, end, high) != 0)
				return -SLUICE_ENOSPC;
			list.at[i].bytes = start - low;
			return 0;
		} else if (low < start) {
			list.at[i++].bytes = start - low;
		} else {
			list.at[i] = (struct boot_range){hpa(end), high - end};
			i++;
		}
	}
	return 0;
}

u64 ranges_find(struct ranges list, struct ranges avoid, u64 from, u64 bytes, u64 align)
{
	for (unsigned i = 0; i < *list.count; i++) {
		u64 end = range_end(&list.at[i]);
		u64 at = ROUND_UP(MAX(from, list.at[i].start.raw), align);

		for (unsigned j = 0; j < *avoid.count && at < end; j++)
			if (avoid.at[j].start.raw < at + bytes && range_end(&avoid.at[j]) > at)
				at = ROUND_UP(range_end(&avoid.at[j]), align);
		if (at < end && bytes <= end - at)
			return at;
	}
	return ~0UL;
}
