/*
 * Streams of page references, as a guest's applications make them: what bench-evict plays.
 */
#ifndef TESTS_BENCH_EVICT_TRACE_H
#define TESTS_BENCH_EVICT_TRACE_H

#include "lib/types.h"

struct trace {
	const char *name;
	u32 pages;     /* references name pages below this; */
	u32 anonymous; /* those from this one on are not of files */
	u64 count;
	u32 *references;
};

/* Synthetic traces by number, NULL behind the last; made anew by each call, equal for equal @seed.
 * A loop is made a little larger than @memory pages, and other distances in proportion to it. */
struct trace *trace_create(unsigned number, u64 seed, u32 memory);
/* What tests/sim/trace.c wrote down of a guest's application; NULL if @path cannot be read. */
struct trace *trace_read(const char *name, const char *path);
void trace_free(struct trace *trace);

#endif
