/*
 * What the module decides about a page of its cached disk. Pure: no Linux, so it is tested hosted
 * (tests/unit/test_linux_precache.c).
 *
 * A frame of the page cache that was read from a page of the disk has a record of that. When Linux
 * drops the frame, its content may go to tmem under the page's number if it is still what the disk
 * has. Two numbers say so, and nothing else is relied on:
 *
 * - the sum of the content, which must be what it was when the disk had delivered it. So whatever
 *   changed the frame, or moved its content to another one, takes its record's worth away;
 * - the state of the disk's page, which every write changes before it begins, and which must be
 *   what it was before the read began, with no write under way then.
 *
 * State and tmem change under one lock, the page's: a write first changes the state and flushes the
 * page, and a put first looks at the state. So a put that comes before the write's beginning is
 * flushed by it, and one that comes after is not made.
 */
#ifndef LINUX_PRECACHE_H
#define LINUX_PRECACHE_H

#include <stdbool.h>
#include <stdint.h>

/* A page's state: the writes that are under way, and above them those that have begun. Several
 * pages may share one: they have each other's writes, too. */
#define PRECACHE_WRITERS     0xffffffull
#define PRECACHE_WRITE_BEGIN ((PRECACHE_WRITERS + 1) | 1) /* to be added */
#define PRECACHE_WRITE_END   1ull                         /* to be subtracted */

static inline bool precache_is_quiet(uint64_t state)
{
	return !(state & PRECACHE_WRITERS);
}

/* How many states a write of @pages changes, where @states stand for all pages in turn: none
 * twice. */
static inline uint64_t precache_states_of(uint64_t pages, uint64_t states)
{
	return pages < states ? pages : states;
}

/* What is known of one frame. All zeros: nothing, since no page cache has frame 0. */
struct precache_record {
	uint64_t frame;
	uint64_t page : 63, is_read : 1;
	uint64_t state;
	uint64_t sum; /* of the content if it is read; else the number of the read, to know it again
		       */
};

/* Before @page is read into @frame. @state is the page's by now. */
static inline void precache_read_begins(struct precache_record *record, uint64_t frame,
	uint64_t page, uint64_t state, uint64_t read)
{
	if (precache_is_quiet(state))
		*record = (struct precache_record){
			.frame = frame, .page = page, .state = state, .sum = read};
	else if (record->frame == frame)
		*record = (struct precache_record){0};
}

/* After the read was without an error, before anybody else has seen the frame. */
static inline void precache_read_ends(
	struct precache_record *record, uint64_t frame, uint64_t read, uint64_t sum)
{
	if (record->frame != frame || record->is_read || record->sum != read)
		return;
	record->is_read = 1;
	record->sum = sum;
}

/* What is known of @frame, which is known no longer. False: nothing. */
static inline bool precache_take(
	struct precache_record *record, uint64_t frame, struct precache_record *taken)
{
	if (record->frame != frame)
		return false;
	*taken = *record;
	*record = (struct precache_record){0};
	return taken->is_read;
}

/* Whether the frame that was @taken, whose content has @sum, is what the disk has. @state is the
 * page's by now, whose lock is held. */
static inline bool precache_may_put(
	const struct precache_record *taken, uint64_t state, uint64_t sum)
{
	return taken->is_read && taken->state == state && taken->sum == sum;
}

#endif
