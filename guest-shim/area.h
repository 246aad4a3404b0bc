/*
 * Areas of memory that grow, stay mapped and are never paged out: the application's stack, what
 * threads use, and the shim's tables. Below each is unmapped memory, so a stack that overflows
 * faults.
 */
#ifndef SHIM_AREA_H
#define SHIM_AREA_H

#include "lib/types.h"

enum area {
	AREA_STACK,
	AREA_FILE_INDEX,
	AREA_SLOT_MAP,
	AREA_NAMES,
	AREA_FILES,
	AREA_THREAD,
	AREAS
};

/* @bytes more of @area, zeroed, right behind what it had. */
void *area_extend(enum area area, size_t bytes);

#endif
