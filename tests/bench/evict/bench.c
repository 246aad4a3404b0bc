/*
 * Compares eviction policies: guests whose own page caches are LRU put what these evict, and ask
 * the pool for what they miss; what the pool has not is read from disk. Counted are disk reads
 * without those that no memory avoids, the first of each page. Private pools serve one guest,
 * shared ones three.
 *
 *   bench_evict [--engine] FIGURES [NAME:SEED:RAM:FILE...]
 *
 * Writes tab-separated values into FIGURES, prints means and worst cases; a NAME is a recorded
 * trace, of a guest with RAM pages. Seeds below HELD_OUT were used when the policy was made, others
 * never. --engine plays the same cells with the engine's own policy and memory alone, beside LRU
 * and the optimum, and prints lines of tab-separated values: kind of pools, use of seeds, mean
 * where the optimum is below 0.8, worst, its trace and pool, cells, cells where the mean is over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/evict/guests.h"
#include "tests/bench/evict/policy.h"
#include "tests/bench/evict/trace.h"

#define RAM_PAGES    4000U
#define SHARERS      3U
#define HELD_OUT     500U
#define FEWEST_READS 500U /* of LRU: else a ratio says nothing */
#define ENGINE       "engine"

/* How many pages are remembered, in quarters of pool and RAM together, by all policies that do; the
 * engine's own length is ENGINE_QUARTERS. */
static const u32 memory_quarters[] = {2, 4, 6};
#define ENGINE_QUARTERS 4U

struct cell {
	bool shared;
	const char *trace;
	unsigned seed;
	u32 ram, pool;
	u64 lru, optimum;
};

/* Over cells, for one policy and length of memory. */
struct summary {
	double sum, sum_wide, worst;
	unsigned cells, cells_wide;
	double memory_bytes; /* a page of the pool, summed */
	const char *worst_trace;
	u32 worst_pool;
};

#define POLICIES_MAX 16
static struct summary summaries[2][2][POLICIES_MAX][ARRAY_SIZE(memory_quarters)];
static FILE *figures;
static bool engine_alone;

static u64 play(const struct requests *requests, u32 pages, const struct policy *policy,
	const struct cell *cell, u32 memory, double *memory_bytes)
{
	struct pool *pool = pool_new(
		cell->pool, cell->ram, memory, pages, cell->shared, cell->seed);
	bool *read_before = calloc(pages, sizeof(bool));
	u64 reads = 0;

	for (u64 i = 0; i < requests->count; i++) {
		const struct request *request = &requests->request[i];
		u32 page = request->page;
		bool has = pool_has(pool, page);

		/* A page that is put again before it is asked for need not be kept till then. */
		pool->next_use = request->next == ~0U || requests->request[request->next].put
					 ? ~0UL
					 : request->next;
		if (request->put && !has) {
			policy->put(pool, page);
		} else if (request->put) {
			if (policy->refresh)
				policy->refresh(pool, page);
		} else {
			if (has)
				policy->hit(pool, page);
			else if (policy->miss)
				policy->miss(pool, page);
			reads += !has && read_before[page];
			read_before[page] = true;
		}
	}
	*memory_bytes = (double)pool->history.pages * PAGE_SIZE / cell->pool;
	free(read_before);
	pool_end(pool);
	return reads;
}

static void report(const struct cell *cell, const struct policy *policy, u32 quarters, u64 reads,
	double memory_bytes, struct summary *summary)
{
	double x_lru = (double)reads / (double)MAX(cell->lru, 1UL);

	fprintf(figures,
		"miss_ratio_vs_lru\t%s\t%s\t%u\t%s\t%s\t%.2f\t%.2f\t%u\t%u\t%llu\t%.3f\t%.4f\n",
		cell->shared ? "shared" : "private", cell->trace, cell->seed,
		cell->seed < HELD_OUT ? "tuning" : "held_out", policy->name, quarters / 4.0,
		memory_bytes, cell->ram, cell->pool, (unsigned long long)reads,
		(double)reads / (double)MAX(cell->optimum, 1UL), x_lru);
	if (cell->lru < FEWEST_READS)
		return;
	summary->cells++;
	summary->sum += x_lru;
	summary->memory_bytes += memory_bytes;
	if (x_lru > summary->worst) {
		summary->worst = x_lru;
		summary->worst_trace = cell->trace;
		summary->worst_pool = cell->pool;
	}
	if ((double)cell->optimum < 0.8 * (double)cell->lru) {
		summary->cells_wide++;
		summary->sum_wide += x_lru;
	}
}

/* Only the engine, with private pools, is tried with all lengths of memory. */
static bool is_tried(const struct policy *policy, bool shared, u32 quarters)
{
	if (!(shared ? policy->for_shared : policy->for_private))
		return false;
	if (engine_alone)
		return strcmp(policy->name, ENGINE) == 0 && quarters == ENGINE_QUARTERS;
	if (!policy->remembers)
		return quarters == memory_quarters[0];
	return quarters == ENGINE_QUARTERS || (!shared && strcmp(policy->name, ENGINE) == 0);
}

static void compare(const struct trace *trace, struct cell cell)
{
	struct requests requests = requests_create(trace, cell.shared ? SHARERS : 1, cell.ram);
	u32 memory = cell.pool + (cell.shared ? SHARERS : 1) * cell.ram;
	const struct policy *last = policies;
	double bytes;

	while (last[1].name)
		last++;
	cell.lru = play(&requests, trace->pages, policies, &cell, 0, &bytes);
	cell.optimum = play(&requests, trace->pages, last, &cell, 0, &bytes);
	for (const struct policy *policy = policies; policy->name; policy++) {
		for (unsigned i = 0; i < ARRAY_SIZE(memory_quarters); i++) {
			u32 quarters = memory_quarters[i];
			u64 reads;

			if (!is_tried(policy, cell.shared, quarters))
				continue;
			reads = play(&requests, trace->pages, policy, &cell, memory * quarters / 4,
				&bytes);
			report(&cell, policy, policy->remembers ? quarters : 0, reads, bytes,
				&summaries[cell.shared][cell.seed >= HELD_OUT][policy - policies]
					  [i]);
		}
	}
	requests_free(&requests);
}

static void print_summary(bool shared, bool held_out, const struct policy *policy, unsigned i)
{
	const struct summary *s = &summaries[shared][held_out][policy - policies][i];

	if (s->cells)
		printf("%-8s %-9s %-15s %7.2f %7.1f %6.3f %12.3f %6.3f  %s %u\n",
			shared ? "shared" : "private", held_out ? "held_out" : "tuning",
			policy->name, policy->remembers ? memory_quarters[i] / 4.0 : 0,
			s->memory_bytes / s->cells, s->sum / s->cells,
			s->sum_wide / MAX(s->cells_wide, 1U), s->worst,
			s->worst_trace ? s->worst_trace : "-", s->worst_pool);
}

static void print_engine(void)
{
	const struct policy *policy = policies;
	unsigned i = 0;

	while (strcmp(policy->name, ENGINE) != 0)
		policy++;
	while (memory_quarters[i] != ENGINE_QUARTERS)
		i++;
	for (unsigned kind = 0; kind < 4; kind++) {
		const struct summary *s = &summaries[kind / 2][kind & 1][policy - policies][i];

		if (s->cells)
			printf("%s\t%s\t%.3f\t%.3f\t%s\t%u\t%u\t%u\n",
				kind / 2 ? "shared" : "private", kind & 1 ? "held_out" : "tuning",
				s->sum_wide / MAX(s->cells_wide, 1U), s->worst,
				s->worst_trace ? s->worst_trace : "-", s->worst_pool, s->cells,
				s->cells_wide);
	}
}

static void print_summaries(void)
{
	printf("Disk reads against LRU, first reads apart, where LRU has %u or more; memory in "
	       "pages of\n"
	       "pool and RAM together; mean over all and over those whose optimum is below 0.8.\n\n"
	       "%-8s %-9s %-15s %7s %7s %6s %12s %6s  %s\n",
		FEWEST_READS, "pool", "seeds", "policy", "memory", "B/page", "mean", "optimum<0.8",
		"worst", "where");
	for (unsigned kind = 0; kind < 4; kind++)
		for (const struct policy *policy = policies; policy->name; policy++)
			for (unsigned i = 0; i < ARRAY_SIZE(memory_quarters); i++)
				print_summary(kind & 2, kind & 1, policy, i);
}

/* Synthetic traces with one seed, at three sizes of the pool. */
static void compare_synthetic(unsigned seed)
{
	static const u32 capacities[] = {1000, 3000, 8000};

	for (unsigned c = 0; c < ARRAY_SIZE(capacities); c++) {
		struct trace *trace;

		for (unsigned number = 0;
			(trace = trace_create(number, seed, RAM_PAGES + capacities[c])) != NULL;
			number++) {
			struct cell cell = {
				false, trace->name, seed, RAM_PAGES, capacities[c], 0, 0};

			compare(trace, cell);
			cell.shared = true;
			cell.ram = RAM_PAGES / SHARERS;
			compare(trace, cell);
			trace_free(trace);
		}
	}
}

/* A recorded trace at a quarter, half, all and twice of the guest's RAM. */
static void compare_recorded(char *argument)
{
	const char *name = strtok(argument, ":"), *seed = strtok(NULL, ":"),
		   *ram = strtok(NULL, ":");
	const char *path = strtok(NULL, "");
	struct trace *trace = path ? trace_read(name, path) : NULL;

	if (!trace) {
		fprintf(stderr, "bench_evict: no trace %s\n", path ? path : argument);
		exit(EXIT_FAILURE);
	}
	for (unsigned size = 1; size <= 8; size *= 2) {
		u32 pages = (u32)atoi(ram);
		struct cell cell = {
			false, name, (unsigned)atoi(seed), pages, pages * size / 4, 0, 0};

		compare(trace, cell);
		cell.shared = true;
		cell.ram = pages / SHARERS;
		compare(trace, cell);
	}
	trace_free(trace);
}

int main(int count, char **arguments)
{
	static const unsigned seeds[] = {7, 555};

	if (count > 1 && strcmp(arguments[1], "--engine") == 0) {
		engine_alone = true;
		count--;
		arguments++;
	}
	figures = count > 1 ? fopen(arguments[1], "w") : NULL;
	if (!figures) {
		perror("bench_evict");
		return EXIT_FAILURE;
	}
	fputs("operation\tkind\ttrace\tseed\tseed_use\tpolicy\tmemory\thistory_bytes_a_"
	      "page\tram\tpool\t"
	      "disk_reads\tx_optimum\tvalue\n",
		figures);
	for (unsigned i = 0; i < ARRAY_SIZE(seeds); i++)
		compare_synthetic(seeds[i]);
	for (int i = 2; i < count; i++)
		compare_recorded(arguments[i]);
	if (engine_alone)
		print_engine();
	else
		print_summaries();
	return fclose(figures) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
