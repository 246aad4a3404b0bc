/*
 * Times of all pages through an operation, in turn with plain copies, or counts of its
 * instructions; and a line of the table.
 */
#include "tests/bench/tmem/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <valgrind/callgrind.h>

unsigned repetitions = REPETITIONS;
double ns_per_tick;

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values)
{
	qsort(values, repetitions, sizeof(*values), compare);
	return values[repetitions / 2];
}

/* Counts of callgrind begin at zero here and are written out under @name at the end. */
static void count_begin(void)
{
	CALLGRIND_ZERO_STATS;
	CALLGRIND_TOGGLE_COLLECT;
}

static void count_end(const char *operation, const struct shape *shape)
{
	char name[64];

	CALLGRIND_TOGGLE_COLLECT;
	snprintf(name, sizeof(name), "%s %s %s", operation, shape->name, mode->name);
	CALLGRIND_DUMP_STATS_AT(name);
}

/* Times of the chunks of one pass. */
struct series {
	u64 *chunks;
	u64 count;
};

static struct series own, copy, movsq;

static void series_add(struct series *series, u64 time)
{
	series->chunks[series->count++] = time;
}

static int compare_ticks(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

/* Mean ticks a page, without interrupted chunks if all chunks do the same work; empties the series.
 */
static double series_mean(struct series *series, bool even)
{
	u64 sum = 0, used = 0, limit;

	qsort(series->chunks, series->count, sizeof(u64), compare_ticks);
	limit = even ? series->chunks[series->count / 2] * 3 : ~0UL;
	while (used < series->count && series->chunks[used] <= limit)
		sum += series->chunks[used++];
	series->count = 0;
	return (double)sum / (double)(used * CHUNK);
}

static void calibrate(void)
{
	struct timespec begin, now;
	u64 start = ticks();
	double ns;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		ns = (double)(now.tv_sec - begin.tv_sec) * 1e9 +
		     (double)(now.tv_nsec - begin.tv_nsec);
	} while (ns < 5e7);
	ns_per_tick = ns / (double)(ticks() - start);
}

void measure_start(void)
{
	struct series *const all[] = {&own, &copy, &movsq};

	calibrate();
	for (u32 i = 0; i < ARRAY_SIZE(all); i++)
		all[i]->chunks = bench_memory(pages / CHUNK * sizeof(u64) / PAGE_SIZE + 1);
}

/* All pages through @operation once; the plain copies run a third and two thirds of the memory
 * away, so that neither finds the other's lines in a cache. */
void measure(enum operation operation, const struct shape *shape, u64 base, unsigned repetition,
	struct samples *samples)
{
	double mean;

	if (bench_counting) {
		count_begin();
		for (u64 first = 0; first < pages; first += CHUNK)
			run_chunk(operation, shape, base, first);
		count_end(names[operation], shape);
		return;
	}
	if (!samples)
		return;
	for (u64 first = 0; first < pages; first += CHUNK) {
		u64 start = ticks(), end;

		run_chunk(operation, shape, base, first);
		end = ticks();
		series_add(&own, end - start);
		if (!copies(operation))
			continue;
		start = ticks();
		copy_chunk((first + pages / 3 / CHUNK * CHUNK) % pages);
		end = ticks();
		series_add(&copy, end - start);
		start = ticks();
		movsq_chunk((first + pages / 3 * 2 / CHUNK * CHUNK) % pages);
		end = ticks();
		series_add(&movsq, end - start);
	}
	mean = series_mean(&own, operation != FLUSH_OBJECT);
	samples->ns[repetition] = mean * ns_per_tick;
	if (copies(operation)) {
		samples->x_copy[repetition] = mean / series_mean(&copy, true);
		samples->x_movsq[repetition] = mean / series_mean(&movsq, true);
	}
}

void print(
	enum operation operation, const struct shape *shape, struct samples *samples, double bytes)
{
	if (bench_counting)
		return;
	printf("%s\t%s\t%s\t%llu\t%.1f\t", names[operation], shape->name, mode->name,
		(unsigned long long)pages, median(samples->ns));
	if (copies(operation))
		printf("%.3f\t%.3f\t", median(samples->x_copy), median(samples->x_movsq));
	else
		printf("-\t-\t");
	if (bytes > 0)
		printf("%.1f\n", bytes);
	else
		printf("-\n");
	fflush(stdout);
}
