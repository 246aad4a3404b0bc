/*
 * Which of a client's two queues of ephemeral pages a new page joins, and which gives up its oldest
 * page: a small queue for pages of which nothing is known, and a main one for pages that came back
 * (as in S3-FIFO, J. Yang et al., SOSP 2023). How far the two are told apart is chosen among three
 * rules by what each would have hit: miniatures of the client's pages under each rule are kept for
 * a sample of all keys (C. Waldspurger et al., USENIX ATC 2017). One of the rules is first in,
 * first out, so the choice is never much worse than that.
 *
 * Knows counts and hashes only; the pages themselves are the caller's. Guarded by the client's
 * lock, with one metadata page for the miniatures; without it pages go first in, first out.
 */
#ifndef TMEM_QUEUES_H
#define TMEM_QUEUES_H

#include "lib/types.h"
#include "tmem/history.h"

enum queue { QUEUE_SMALL, QUEUE_MAIN, QUEUES };

/*
 * RULE_HALF: what is remembered goes to the main queue; the small one gets half of the pages.
 * RULE_FIFO: all go to the small queue, and the main one is emptied in passing.
 * RULE_FEW: what left by a hit goes to the main queue, and a quarter of what was evicted; the small
 * one gets a tenth. Good where more comes back than the store can hold.
 */
enum rule { RULE_HALF, RULE_FIFO, RULE_FEW, RULES };

struct miniatures;

struct queues {
	struct miniatures *miniatures; /* a metadata page, or NULL */
	u64 pages;                     /* of the client, when the sample was chosen */
	u32 sampled;     /* keys whose hash has less in its upper half are in the sample */
	u32 sets;        /* of the miniatures in use; 0: the client is too small to be sampled */
	u32 random;      /* the next choice by chance */
	u32 countdown;   /* puts of sampled keys until the rule is chosen anew */
	u32 hits[RULES]; /* of the miniatures; old ones count less */
	u32 rule;
};

/* Nothing is remembered, and all pages stand in one queue. */
void queues_init(struct queues *queues);

/* Gives the memory back, and is as after queues_init(). */
void queues_destroy(struct tmem *tmem, struct queues *queues);

/* Fits the sample to a client that holds @pages ephemeral pages; to be called as often as
 * history_adjust(), with which it shares all other conditions. */
void queues_adjust(struct tmem *tmem, struct queues *queues, u64 pages);

/* Calls @visit for each page of memory that it holds. */
void queues_visit(
	const struct queues *queues, void (*visit)(void *page, void *argument), void *argument);

/* Whether the key with @hash is in the sample: at most one in eight. */
static inline bool queues_sample(const struct queues *queues, u64 hash)
{
	return hash >> 32 < queues->sampled;
}

/* What happens to a key in the sample: it is asked for and leaves, or stays in a shared pool, if it
 * is there; or it is put. */
enum sample_event { SAMPLE_GET, SAMPLE_GET_SHARED, SAMPLE_PUT };

/* What queues_get() and queues_put() do for keys in the sample. */
void queues_play_sample(
	struct queues *queues, u64 hash, enum sample_event event, enum departure last);

/* The guest asks for the page with @hash, which is there or not; a hit leaves it there if @keep (a
 * shared pool). A miss of a key outside the sample need not be told, so it needs no lock. */
static inline void queues_get(struct queues *queues, u64 hash, bool keep)
{
	if (unlikely(queues_sample(queues, hash)))
		queues_play_sample(
			queues, hash, keep ? SAMPLE_GET_SHARED : SAMPLE_GET, DEPARTURE_HIT);
}

/* In how many of four cases each rule sends a page that is known so to the main queue. */
static inline bool rule_wants_main(u32 rule, enum departure last, u32 random)
{
	static const u8 chances[RULES][4] = {{0, 4, 4, 0}, {0, 0, 0, 0}, {0, 1, 4, 0}};

	return random >> 30 < chances[rule][last];
}

/* The queue whose newest page the page with @hash becomes; @last is what history_recall() says of
 * it. Not for pages that replace one with the same key. */
static inline enum queue queues_put(struct queues *queues, u64 hash, enum departure last)
{
	/* A full-period generator modulo 2^32 (D. Knuth, TAOCP 2, 3.3.4); good in its upper bits.
	 */
	queues->random = queues->random * 1664525 + 1013904223;
	if (unlikely(queues_sample(queues, hash)))
		queues_play_sample(queues, hash, SAMPLE_PUT, last);
	return rule_wants_main(queues->rule, last, queues->random) ? QUEUE_MAIN : QUEUE_SMALL;
}

/* The queue whose newest page a page becomes that was hit in a shared pool, and stays. */
static inline enum queue queues_hit(const struct queues *queues)
{
	return rule_wants_main(queues->rule, DEPARTURE_HIT, 0) ? QUEUE_MAIN : QUEUE_SMALL;
}

/* The queue that gives up its oldest page, of a client with @small and @main pages in the two; one
 * at least is not empty. */
enum queue queues_victim(const struct queues *queues, u64 small, u64 main);

#endif
