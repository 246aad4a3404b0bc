/*
 * A ring of bytes: what is written first is read first. Pure; the owner locks. @head and @tail
 * count bytes since the beginning and wrap freely; their difference is what the ring holds.
 */
#ifndef LIB_RING_H
#define LIB_RING_H

#include "lib/types.h"

struct ring {
	char *bytes;
	u32 size; /* a power of two */
	u32 head; /* next byte to write */
	u32 tail; /* next byte to read */
};

static inline u32 ring_used(const struct ring *ring)
{
	return ring->head - ring->tail;
}

static inline u32 ring_free(const struct ring *ring)
{
	return ring->size - ring_used(ring);
}

static inline char ring_at(const struct ring *ring, u32 offset)
{
	return ring->bytes[(ring->tail + offset) & (ring->size - 1)];
}

/* All of @bytes, or nothing: false if they do not fit. */
static inline bool ring_put(struct ring *ring, const char *bytes, u32 count)
{
	if (count > ring_free(ring))
		return false;
	for (u32 i = 0; i < count; i++)
		ring->bytes[(ring->head + i) & (ring->size - 1)] = bytes[i];
	ring->head += count;
	return true;
}

/* Forgets the oldest bytes up to and with the first newline; all if there is none. */
static inline void ring_drop_line(struct ring *ring)
{
	while (ring->tail != ring->head)
		if (ring->bytes[ring->tail++ & (ring->size - 1)] == '\n')
			return;
}

/* Copies up to @max bytes without taking them, ending after a newline if one comes: a line of one
 * ring is never cut by a line of another. */
static inline u32 ring_peek_line(const struct ring *ring, char *to, u32 max)
{
	u32 count = 0;

	while (count < max && count < ring_used(ring)) {
		to[count] = ring_at(ring, count);
		if (to[count++] == '\n')
			break;
	}
	return count;
}

#endif
