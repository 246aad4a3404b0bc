/*
 * What guests with LRU page caches ask of a pool, and put into it, while they make the references
 * of a trace: the same whatever the pool does, so it is computed once for all policies.
 */
#ifndef TESTS_BENCH_EVICT_GUESTS_H
#define TESTS_BENCH_EVICT_GUESTS_H

#include "lib/types.h"
#include "tests/bench/evict/trace.h"

struct request {
	u32 page : 31;
	u32 put : 1; /* else a get */
	u32 next;    /* of the same page's request; ~0 = none */
};

struct requests {
	u64 count;
	struct request *request;
};

/* @guests guests, each with @ram pages of its own, take turns of 64 references. Anonymous pages of
 * the trace take room in RAM, but are not the pool's business. To be freed by requests_free(). */
struct requests requests_create(const struct trace *trace, unsigned guests, u32 ram);
void requests_free(struct requests *requests);

#endif
