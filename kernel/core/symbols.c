/*
 * The symbol table that tools/symbols.py appends at the second link. Constant data.
 */
#include "kernel/core/symbols.h"

/* A count, as many offsets of functions, as many offsets of names, then the names. */
extern const u32 __symbols_start[];
extern const char __symbols_end[], __text_start[], __init_text_end[];

const char *symbol_of(u64 address, u64 *offset)
{
	const u32 *offsets = __symbols_start + 1, *names;
	u64 at = address - (u64)__text_start;
	u32 low = 0, high;

	if ((const char *)__symbols_start == __symbols_end || address < (u64)__text_start ||
		address >= (u64)__init_text_end || at < offsets[0])
		return NULL;
	high = __symbols_start[0];
	names = offsets + high;
	while (high - low > 1) {
		u32 middle = low + (high - low) / 2;

		if (offsets[middle] <= at)
			low = middle;
		else
			high = middle;
	}
	*offset = at - offsets[low];
	return (const char *)(names + __symbols_start[0]) + names[low];
}
