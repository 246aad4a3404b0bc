/*
 * A ring of records: each a sequence number, a length and as many bytes; what is written first is
 * read first. Pure; the owner locks. @head and @tail count bytes since the beginning and wrap
 * freely; their difference is what the ring holds. @head moves only once a record is complete.
 */
#ifndef LIB_RING_H
#define LIB_RING_H

#include "lib/types.h"

struct ring {
	char *bytes;
	u32 size; /* a power of two */
	u32 head; /* where the next record goes */
	u32 tail; /* what is read next */
};

struct ring_record {
	u32 sequence;
	u32 length;
};

/* How full it is. */
static inline bool ring_is_empty(const struct ring *ring)
{
	return READ_ONCE(ring->head) == READ_ONCE(ring->tail);
}

static inline u32 ring_used(const struct ring *ring)
{
	return ring->head - ring->tail;
}

/* Copies @count bytes to free-running place @at, around the end if need be. */
static inline void ring_copy_in(struct ring *ring, u32 at, const void *from, u32 count)
{
	for (u32 i = 0; i < count; i++)
		ring->bytes[(at + i) & (ring->size - 1)] = ((const char *)from)[i];
}

/* Copies the next @count bytes without taking them. */
static inline void ring_copy_out(const struct ring *ring, void *to, u32 count)
{
	for (u32 i = 0; i < count; i++)
		((char *)to)[i] = ring->bytes[(ring->tail + i) & (ring->size - 1)];
}

/* Whether a record of @length bytes fits now. */
static inline bool ring_fits(const struct ring *ring, u32 length)
{
	return length <= ring->size - sizeof(struct ring_record) &&
	       ring_used(ring) <= ring->size - sizeof(struct ring_record) - length;
}

/* The whole record, or nothing: false if it does not fit. */
static inline bool ring_put(struct ring *ring, u32 sequence, const char *bytes, u32 length)
{
	const struct ring_record record = {sequence, length};

	if (!ring_fits(ring, length))
		return false;
	ring_copy_in(ring, ring->head, &record, sizeof(record));
	ring_copy_in(ring, ring->head + (u32)sizeof(record), bytes, length);
	WRITE_ONCE(ring->head, ring->head + (u32)sizeof(record) + length);
	return true;
}

/* The record at @tail, which must be there. */
static inline struct ring_record ring_peek(const struct ring *ring)
{
	struct ring_record record;

	ring_copy_out(ring, &record, sizeof(record));
	return record;
}

/* Moves past @count bytes. */
static inline void ring_skip(struct ring *ring, u32 count)
{
	WRITE_ONCE(ring->tail, ring->tail + count);
}

#endif
