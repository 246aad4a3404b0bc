/*
 * What the tmem engine needs of whoever hosts it: the hypervisor (kernel/vm/tmem_port.c) or a test
 * (tests/unit/). The host defines these functions.
 */
#ifndef TMEM_PORT_H
#define TMEM_PORT_H

#include "lib/types.h"

#define TMEM_PORT_BLOCK 9 /* order of a 2 MiB block */

/*
 * 2^order page-aligned pages (order 0 or TMEM_PORT_BLOCK; a block is 2 MiB aligned) for pages and
 * for metadata, contents undefined; NULL when memory that tmem may use is exhausted (never
 * reclaims). Each page of a block may be given back on its own with order 0. Called with the arena
 * lock held.
 */
void *tmem_port_alloc(unsigned order);
void tmem_port_free(void *pages, unsigned order);

/* Frees a page once no call into the engine that is under way now on any CPU can still be reading
 * it. Called with the arena lock held. */
void tmem_port_free_later(void *page);

/* Whether one more persistent page keeps every guest's entitlement (DESIGN: sum of minima +
 * persistent pages + reserve fits in RAM), given that @held frames are counted for them now
 * (tmem_persistent_held()). */
bool tmem_port_persistent_ok(u64 held);

/* Copies one page; both aligned. The second is for a copy that nobody will read soon: all that goes
 * into the store. */
void tmem_port_copy(void *to, const void *from);
void tmem_port_copy_away(void *to, const void *from);

/* This CPU's own room for one call of the engine; undefined contents, no other user until it
 * returns. A page of a guest is copied to @page before anything is decided by what is in it. */
struct tmem_scratch {
	u8 page[PAGE_SIZE];
	u8 fragment[PAGE_SIZE];
};
struct tmem_scratch *tmem_port_scratch(void);

/* Compresses the page at @page to @to, which holds @capacity bytes. The bytes written, 0 if they
 * would be more; equal pages give equal bytes. */
u32 tmem_port_compress(void *to, const void *page, u32 capacity);
/* The way back: 0, or -EINVAL if the @length bytes at @from do not give just one page; nothing else
 * is written to either way. */
int __must_check tmem_port_decompress(void *page, const void *from, u32 length);

/* A lock, prepared by tmem_port_lock_init() before its first use. Its fields are the host's. A CPU
 * that holds one may take those of a later rank only; two of one rank are never held together. */
enum tmem_lock_rank { TMEM_LOCK_SHARERS, TMEM_LOCK_CLIENT, TMEM_LOCK_GROUP, TMEM_LOCK_ARENA };
struct tmem_lock {
	u32 word;
	u32 rank;
};
void tmem_port_lock_init(struct tmem_lock *lock, enum tmem_lock_rank rank);
void tmem_port_lock(struct tmem_lock *lock);
void tmem_port_unlock(struct tmem_lock *lock);

/* @count random words for hash keys; need not be fast. */
void tmem_port_random(u64 *words, u64 count);

/*
 * What a guest does with the pages in the sample of its private pools (tmem_client_config's
 * sample_threshold). The sample goes by key: of a page in it every operation is told, of others
 * none.
 */
enum tmem_event {
	TMEM_EVENT_PUT,  /* stored, replaced or refused alike */
	TMEM_EVENT_GET,  /* hit or miss */
	TMEM_EVENT_FLUSH /* of this page; not those of its object or its pool */
};
struct tmem_sample {
	/* Of pool and key, the same at each operation unless a miss filter is opened between them,
	 * and secret to the client as long as it has none. The upper half is what was compared with
	 * the threshold, the rest is well mixed. */
	u64 hash;
	u64 puts, gets; /* of all the client's private pools so far, this one included */
};
/* Not called for pool ids that name no pool, and unreachable frames. Called with the client's lock
 * held: @owner is that of its configuration. */
void tmem_port_sampled(void *owner, enum tmem_event event, const struct tmem_sample *sample);

/* Reports what the audit found. */
void tmem_port_complain(const char *format, ...) __printf_like(1, 2);

#endif
