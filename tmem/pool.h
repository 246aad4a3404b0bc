/*
 * A pool: what it is like, what happened in it, and the sums of its objects, by which samples, miss
 * filters and histories know their pages. Its index is index.h's. Guarded by the client's lock.
 */
#ifndef TMEM_POOL_H
#define TMEM_POOL_H

#include <abi/filter.h>
#include <abi/hypercall.h>

#include "lib/types.h"
#include "tmem/arena.h"
#include "tmem/slab.h"
#include "tmem/table.h"

struct filter;
struct group;
struct object;
struct tmem_client;

/* What happened in a pool; successful puts only. */
struct pool_counts {
	u64 puts, hits;
	u64 misses;   /* atomic: most are counted without the lock */
	u64 replaced; /* of the puts */
	u64 dropped;  /* old copies that went with a put that failed */
	u64 equal;    /* of the puts, of pages that were there already, and so need no frame */
	u64 flushes, flushed_pages;
	u64 common_flushes; /* of one page each, on the common path: they belong to both */
	u64 evictions, refusals;
};

/* At whose pool a guest has a seat: see tmem/shared.c. */
struct seat {
	struct tmem_client *owner;
	u32 life; /* the owner's */
	u32 weight;
};

#define NO_GROUP ~0U /* no number of a group */

struct pool {
	struct tmem_client *client;
	u8 id;
	u32 mark; /* the same, as it stands in page.next */
	/*
	 * What the common paths have to think of. All of @special is off even these. frozen: its
	 * client is; capped: its client has a cap for ephemeral pages; shared: it is a seat at a
	 * shared pool and has no pages itself; common: it is a shared pool itself, where a get
	 * keeps the page.
	 */
	union {
		struct {
			union {
				struct {
					bool dying;  /* being destroyed */
					bool hidden; /* being restored: its guest does not see it */
					bool rekeyed; /* object_table, at least once */
					bool frozen : 1, capped : 1, shared : 1, common : 1;
				};
				u32 special;
			};
			bool persistent;
			u8 modes;      /* TMEM_MODE_* */
			bool filtered; /* @filter is not NULL */
			bool aged;     /* its client's pages have histories, and it is ephemeral */
		};
		u64 uncommon;
	};
	u32 cursor;         /* no object of a dying pool has an id below this */
	bool glances_first; /* the last page may have been full of one word: see put.h */
	/* What says of a key whether it is sampled, and is the seed of its hashes: the sum of its
	 * object. That is the hash which the table of objects goes by anyhow, and @salt; but if
	 * the pool is filtered or rekeyed it is computed for itself (pool_sum_apart()). */
	u32 sample_threshold; /* of 2^32 keys so many are told of, and no get of one */
	u32 own_sample;       /* the threshold of the client's own sample, 0: none */
	/* Gets whose pool_long_sample() is not above this take the lock (tmem_get()): those of
	 * sampled keys, and all of them in a pool that is special, or of which misses alone are not
	 * enough (pool_set_lock_upto()). */
	u64 lock_upto;
	u64 salt;
	/* What was looked up last: the next page is often its neighbour. Invariant: @recent_object
	 * is NULL if it is gone; else @recent_key is its key and @recent_sum its sum.
	 * @recent_number is NO_GROUP, or that of @recent_group, which is there then and the recent
	 * object's; @absent_number is NO_GROUP, or that of a group which this object has not. */
	u64 recent_key[3]; /* the first word also in the client, for readers without the lock */
	struct group *recent_group;
	u32 recent_number, absent_number;
	u32 recent_owner; /* the group's part of page.owner */
	u64 recent_sum;
	struct object *recent_object;
	u32 recent_object_id;
	struct pool_counts counts;
	u64 uuid[2];
	struct filter *filter; /* NULL: no guest asked for it (tmem/window.h) */
	u64 filter_key[TMEM_FILTER_KEY_WORDS];
	struct seat seat; /* if @shared */
	struct slab objects, groups;
	struct slab lines; /* of long chains in both tables */
	struct table object_table, group_table;
	/* Now, of pages with modes: by enum content_kind (dense.h), and how long the compressed
	 * ones are. */
	u64 dense_pages[4], packed_bytes;
	u8 modes_off; /* TMEM_MODE_* that the guest wants not, whatever the client has */
};

/* A pool without pages in a metadata page of its own; NULL without memory. */
struct pool *pool_create(struct tmem_client *client, u8 id, bool persistent, const u64 uuid[2]);
/* Frees the index of a pool that has no pages. */
void pool_free(struct tmem *tmem, struct pool *pool);

/* The sum of the object with @key in a pool that is filtered or rekeyed. Client lock. */
u64 pool_sum_apart(const struct pool *pool, const u64 key[3]);
/* Sums of objects are those of the miss filter from now on. */
void pool_open_filter(struct pool *pool, struct filter *filter);
/* And are not any more: the pool is about to go. */
void pool_close_filter(struct pool *pool);

/* What it was made with: TMEM_POOL_... */
static inline u32 pool_flags(const struct pool *pool)
{
	return (pool->persistent ? TMEM_POOL_PERSISTENT : 0) |
	       (pool->shared ? TMEM_POOL_SHARED : 0) | (u32)pool->modes_off << TMEM_POOL_NO_SHIFT;
}

/* Counters of a pool. The client's lock is held, but for misses, which are counted without. */
static inline void pool_count_miss(struct pool *pool)
{
	__atomic_fetch_add(&pool->counts.misses, 1, __ATOMIC_RELAXED);
}

static inline u64 pool_gets(const struct pool *pool)
{
	return pool->counts.hits + READ_ONCE(pool->counts.misses);
}

static inline u64 pool_flushes(const struct pool *pool)
{
	return pool->counts.flushes + pool->counts.common_flushes;
}

static inline u64 pool_flushed_pages(const struct pool *pool)
{
	return pool->counts.flushed_pages + pool->counts.common_flushes;
}

/* The pages of a pool, from what has happened in it: so nothing is counted on the common paths. */
static inline u64 pool_pages(const struct pool *pool)
{
	const struct pool_counts *counts = &pool->counts;
	u64 left = pool_flushed_pages(pool) + counts->evictions + counts->dropped;

	if (!pool->persistent && !pool->common)
		left += counts->hits;
	return counts->puts - counts->replaced - left;
}

/* Any object of a dying pool, or 0. */
u32 pool_any_object(struct pool *pool);

/* Calls @visit for each page of memory that the pool holds, its own included. */
void pool_visit(struct pool *pool, void (*visit)(void *page, void *argument), void *argument);

/* The hash of the object with @key, by which it is looked up now. */
static inline u64 pool_object_hash(const struct pool *pool, const u64 key[3])
{
	return hash_words(pool->object_table.now.keys, key[0], key[1], key[2]);
}

/* To be called after each change of what it goes by. */
static inline void pool_set_lock_upto(struct pool *pool)
{
	bool always = pool->persistent || pool->filtered || pool->special;

	u64 sampled = (u64)MAX(pool->sample_threshold, pool->own_sample) << 32;

	/* One of 2^64 keys too many where nothing is sampled. */
	WRITE_ONCE(pool->lock_upto, always ? ~0UL : sampled - (sampled != 0));
}

/* The sample word above the lower half of @sum: so it is computed and compared with fewer
 * instructions. */
static inline u64 pool_long_sample(u64 sum, u32 index)
{
	return sum + ((u64)(index * TMEM_SAMPLE_STEP) << 32);
}

/* The object's sum; @hash is by pool_object_hash(). */
static inline u64 pool_sum(const struct pool *pool, const u64 key[3], u64 hash)
{
	return unlikely(pool->filtered || pool->rekeyed) ? pool_sum_apart(pool, key)
							 : hash + pool->salt;
}

/* The sum of the object with @key, of which nothing else is at hand. */
static inline u64 pool_sum_of_key(const struct pool *pool, const u64 key[3])
{
	return pool_sum(pool, key, pool_object_hash(pool, key));
}

/* Whether page @index of the object with that @sum is told of (tmem_port_sampled()). */
static inline bool pool_samples(const struct pool *pool, u64 sum, u32 index)
{
	return unlikely(tmem_sample_word(sum, index) < pool->sample_threshold);
}

/*
 * The hash of page @index of the object with that @sum. Its upper half is the word by which samples
 * are taken, the lower half is uniform even in a sample, and secret.
 */
static inline u64 handle_hash(u64 secret, u64 sum, u32 index)
{
	u64 hash = sum + index * 0x9e3779b97f4a7c15UL;

	hash = (hash ^ hash >> 32) * (secret | 1);
	return (u64)tmem_sample_word(sum, index) << 32 | hash >> 32;
}

#endif
