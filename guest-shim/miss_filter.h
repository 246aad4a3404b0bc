/*
 * The miss filter of precache (abi/filter.h): what it says to be absent need not be asked for.
 */
#ifndef SHIM_MISS_FILTER_H
#define SHIM_MISS_FILTER_H

#include "lib/types.h"

/* Opens the filter of @pool, all of whose pages belong to @object, and maps its window. Without
 * filters in the hypervisor, or without memory for one, nothing is ever known. */
void miss_filter_open(s32 pool, u64 object);

/* Whether @page is surely not in the pool. */
bool miss_filter_lacks(u32 page);

#endif
