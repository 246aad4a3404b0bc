/*
 * What a client remembers of pages that left it: two bytes a page, a fingerprint of its key and
 * whether it left by a hit or by eviction. A guest's page comes back only after it has passed
 * through all of the guest's RAM, so only a memory as long as that tells a page that keeps coming
 * back from one that was used once (tmem/queues.h, docs/tmem.md).
 *
 * Sets of 16 fingerprints in metadata pages; in a set the newest pushes out the oldest, so
 * forgetting needs no work. A page more is made by copying: the half of its fingerprints that
 * belongs elsewhere is forgotten in time. Guarded by the client's lock.
 *
 * Hashes are of (pool, object, index), with a secret key, uniform in all 64 bits. Bits 0..14: the
 * fingerprint; 16..22: the set in its page; 23..40: the page; tmem/queues.h samples by the rest.
 */
#ifndef TMEM_HISTORY_H
#define TMEM_HISTORY_H

#include "lib/types.h"
#include "tmem/directory.h"

#define HISTORY_SET_WORDS  4U
#define HISTORY_SET_KEYS   (HISTORY_SET_WORDS * 4)
#define HISTORY_PAGE_KEYS  ((u32)(PAGE_SIZE / sizeof(u16)))
#define HISTORY_PAGE_SETS  (HISTORY_PAGE_KEYS / HISTORY_SET_KEYS)
#define HISTORY_SET_SHIFT  16
#define HISTORY_LEAF_SHIFT 23

/* Why a page left, as far as is known. */
enum departure { DEPARTURE_UNKNOWN, DEPARTURE_EVICTED, DEPARTURE_HIT };

/* 16 fingerprints of 15 bits, 0: none; the bit above each says that the page left by a hit. The
 * newest is in the lowest bits of the first word, the next one in those of the second, and so on:
 * so a new one moves words, not bits. */
#define HISTORY_HIT 0x8000UL
struct history_set {
	u64 words[HISTORY_SET_WORDS];
};

/* Invariant: leaves below @pages exist, none above; @mask is the least 2^n - 1 that is at least
 * @pages - 1. */
struct history {
	struct directory leaves;
	u32 pages;
	u32 mask;
	struct history_set *due; /* where @due_entry belongs, if not NULL: history_note_later() */
	u64 due_entry;
};

/* An empty history, without memory. Like a directory it must not be moved. */
void history_init(struct history *history);

/* Gives all memory back, and is empty again. */
void history_destroy(struct tmem *tmem, struct history *history);

/*
 * Brings the memory nearer to what @keys remembered pages need: by at most one page, so it is to be
 * called now and then (every 64 puts, say, or when @keys has changed). Copies 4 KiB when it grows.
 * Without a page to be had, nothing changes. May take the arena lock.
 */
void history_adjust(struct tmem *tmem, struct history *history, u64 keys);

/* Calls @visit for each page of memory that the history holds. */
void history_visit(
	const struct history *history, void (*visit)(void *page, void *argument), void *argument);

/*
 * The set for @hash, on its way into the cache; NULL without memory. Good for the two functions
 * below until the client's lock is released or history_adjust() called.
 */
static inline struct history_set *history_prefetch(const struct history *history, u64 hash)
{
	u32 leaf = (u32)(hash >> HISTORY_LEAF_SHIFT) & history->mask;
	struct history_set *set;

	if (unlikely(!history->pages))
		return NULL;
	if (leaf >= history->pages)
		leaf &= history->mask >> 1;
	set = (struct history_set *)directory_leaf(&history->leaves, leaf) +
	      (hash >> HISTORY_SET_SHIFT) % HISTORY_PAGE_SETS;
	__builtin_prefetch(set, 1);
	return set;
}

/* The bits of a hash that an entry keeps; never 0. */
static inline u64 history_fingerprint(u64 hash)
{
	u64 fingerprint = hash & (HISTORY_HIT - 1);

	return likely(fingerprint) ? fingerprint : HISTORY_HIT - 1;
}

/* What is kept of a page with @hash that leaves. */
static inline u64 history_entry(u64 hash, enum departure why)
{
	return history_fingerprint(hash) | (why == DEPARTURE_HIT ? HISTORY_HIT : 0);
}

static inline void history_push(struct history_set *set, u64 entry)
{
	u64 *words = set->words;

	entry |= words[3] << 16;
	words[3] = words[2];
	words[2] = words[1];
	words[1] = words[0];
	words[0] = entry;
}

/* The page with @hash leaves: its @set, by history_prefetch(), remembers it. */
static inline void history_note(struct history_set *set, u64 hash, enum departure why)
{
	if (likely(set))
		history_push(set, history_entry(hash, why));
}

/* Does what history_note_later() has left to do; before anything is recalled. */
static inline void history_settle(struct history *history)
{
	if (!history->due)
		return;
	history_push(history->due, history->due_entry);
	history->due = NULL;
}

/* The same as history_note(), but its set has until the next call to come into the cache. */
static inline void history_note_later(struct history *history, u64 hash, enum departure why)
{
	history_settle(history);
	history->due = history_prefetch(history, hash);
	history->due_entry = history_entry(hash, why);
}

#define HISTORY_EACH(bits) ((bits)*0x0001000100010001UL)

/* For each of the four fingerprints in @word, HISTORY_HIT if it is that in @key: no carry leaves
 * its 16 bits, so this is exact. */
static inline u64 history_matches(u64 word, u64 key)
{
	const u64 all = HISTORY_EACH(HISTORY_HIT - 1);

	return ~(((word ^ key) & all) + all) & HISTORY_EACH(HISTORY_HIT);
}

/*
 * How the page with @hash left last, DEPARTURE_UNKNOWN if that is forgotten or never was. Of pages
 * never seen at most one in 2,000 is mistaken for a known one. Nothing is forgotten by this: the
 * entry ages, and the next departure of the same page is found before it. Without branches, which
 * nobody could foretell.
 */
static inline enum departure history_recall(const struct history_set *set, u64 hash)
{
	u64 key = HISTORY_EACH(history_fingerprint(hash));
	u64 all = 0,
	    hits = 0; /* a bit for each that matches, and if it was a hit; the newest first */

	_Static_assert(DEPARTURE_UNKNOWN == 0 && DEPARTURE_EVICTED == 1 && DEPARTURE_HIT == 2,
		"how many of two conditions hold");
	if (unlikely(!set))
		return DEPARTURE_UNKNOWN;
#pragma GCC unroll 4
	for (unsigned i = 0; i < HISTORY_SET_WORDS; i++) {
		u64 matches = history_matches(set->words[i], key);

		all |= matches >> (HISTORY_SET_WORDS - 1 - i);
		hits |= (matches & set->words[i]) >> (HISTORY_SET_WORDS - 1 - i);
	}
	return (enum departure)((all != 0) + ((hits & all & -all) != 0));
}

#endif
