/*
 * Which pages of the swap disk are taken: a bitmap searched from where the last search ended, so
 * that pages swapped out together lie together. Pure.
 */
#ifndef SHIM_SLOTS_H
#define SHIM_SLOTS_H

#include "lib/types.h"

#define SLOT_NONE UINT32_MAX

struct slots {
	u64 *map; /* a bit for each slot, set: taken; belongs to the caller */
	u32 count;
	u32 taken;
	u32 cursor;
};

/* Bytes of the map for @count slots. */
static inline size_t slots_map_bytes(u32 count)
{
	return ((size_t)count + 63) / 64 * 8;
}

/* @map has slots_map_bytes(@count) bytes of zeros. */
void slots_init(struct slots *slots, u64 *map, u32 count);

/* SLOT_NONE when all are taken. */
u32 slots_take(struct slots *slots);

/* @slot must be taken; returns false, and changes nothing, if it is not. */
bool slots_give(struct slots *slots, u32 slot) __must_check;

/* More than half taken: time to give up copies of pages that are in memory too. */
static inline bool slots_are_scarce(const struct slots *slots)
{
	return slots->taken > slots->count / 2;
}

#endif
