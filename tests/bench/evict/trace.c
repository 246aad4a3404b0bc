/*
 * Synthetic references (tests/bench/evict/trace.h): popularity by Zipf's law, scans, loops, a
 * working set that moves, files read from front to end; and what policies with a memory may be
 * deceived by. Recorded ones are read.
 */
#include "tests/bench/evict/trace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define REFERENCES 1000000UL

static u64 random_state;

static double random_unit(void)
{
	u64 z = random_state += 0x9e3779b97f4a7c15UL;

	/* SplitMix64 (S. Vigna, public domain). */
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

static u32 random_below(u32 bound)
{
	return (u32)(random_unit() * bound);
}

/* Cumulated popularity of @count items, the first the most popular; to be freed. */
static double *zipf_table(u32 count, double exponent)
{
	double *table = malloc(count * sizeof(*table));
	double sum = 0;

	for (u32 i = 0; i < count; i++)
		table[i] = sum += 1 / pow(i + 1, exponent);
	for (u32 i = 0; i < count; i++)
		table[i] /= sum;
	return table;
}

static u32 zipf(const double *table, u32 count)
{
	double x = random_unit();
	u32 low = 0, high = count - 1;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (table[middle] < x)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void make_zipf(struct trace *trace)
{
	double *table = zipf_table(40000, 0.9);

	trace->pages = 40000;
	for (u64 i = 0; i < trace->count; i++)
		trace->references[i] = zipf(table, 40000);
	free(table);
}

/* A fifth of the references are scans of 2000 pages through what is rarely used otherwise. */
static void make_scan(struct trace *trace)
{
	double *table = zipf_table(20000, 0.9);
	u32 scan = 0;

	trace->pages = 80000;
	for (u64 i = 0; i < trace->count;) {
		if (random_below(10000) == 0)
			for (u32 n = 0; n < 2000 && i < trace->count;
				n++, scan = (scan + 1) % 60000)
				trace->references[i++] = 20000 + scan;
		else
			trace->references[i++] = zipf(table, 20000);
	}
	free(table);
}

static void make_loop(struct trace *trace, u32 memory)
{
	trace->pages = memory + memory / 4;
	for (u64 i = 0; i < trace->count; i++)
		trace->references[i] = (u32)(i % trace->pages);
}

/* A window of 14,000 pages moves by one page every 60 references. */
static void make_shift(struct trace *trace)
{
	double *table = zipf_table(14000, 0.7);

	trace->pages = 14000 + (u32)(trace->count / 60);
	for (u64 i = 0; i < trace->count; i++)
		trace->references[i] = (u32)(i / 60) + zipf(table, 14000);
	free(table);
}

/* Files of 1 to 256 pages, popular by Zipf's law, each read from front to end. */
static void make_files(struct trace *trace)
{
	enum { FILES = 1500 };
	double *table = zipf_table(FILES, 0.8);
	u32 first[FILES + 1];

	first[0] = 0;
	for (u32 i = 0; i < FILES; i++)
		first[i + 1] = first[i] + 1 + (u32)(255 * random_unit() * random_unit());
	trace->pages = first[FILES];
	for (u64 i = 0; i < trace->count;) {
		u32 file = zipf(table, FILES) * 7 % FILES;

		for (u32 page = first[file]; page < first[file + 1] && i < trace->count; page++)
			trace->references[i++] = page;
	}
	free(table);
}

/* Each page is asked for twice, at a distance that fits into @memory, and never again. */
static void make_twice(struct trace *trace, u32 memory)
{
	u32 distance = memory * 5 / 12;

	for (u64 i = 0; i < trace->count; i++)
		trace->references[i] = i % 2 && trace->pages > distance ? trace->pages - distance
									: trace->pages++;
}

/* By turns of 125,000 references, Zipf and a loop too large for @memory. */
static void make_phases(struct trace *trace, u32 memory)
{
	double *table = zipf_table(20000, 0.8);
	u32 loop = memory + memory / 4;

	trace->pages = 20000 + loop;
	for (u64 i = 0; i < trace->count; i++)
		trace->references[i] = i / 125000 % 2 ? 20000 + (u32)(i % loop)
						      : zipf(table, 20000);
	free(table);
}

/* Zipf, and what is popular changes altogether every 50,000 references. */
static void make_drift(struct trace *trace)
{
	double *table = zipf_table(20000, 0.8);

	trace->pages = 30000;
	for (u64 i = 0; i < trace->count; i++)
		trace->references[i] = (zipf(table, 20000) * 7919U + (u32)(i / 50000) * 1237U) %
				       trace->pages;
	free(table);
}

static void make_uniform(struct trace *trace)
{
	trace->pages = 20000;
	for (u64 i = 0; i < trace->count; i++)
		trace->references[i] = random_below(trace->pages);
}

/* Zipf and a loop of half of @memory, alternating. */
static void make_beside(struct trace *trace, u32 memory)
{
	double *table = zipf_table(20000, 0.8);

	trace->pages = 20000 + memory / 2;
	for (u64 i = 0; i < trace->count; i++)
		trace->references[i] = i % 2 ? zipf(table, 20000)
					     : 20000 + (u32)(i / 2 % (memory / 2));
	free(table);
}

/* Three of ten references are to new pages; the others to those made a while ago, exponentially
 * distributed: all that counts is recency. */
static void make_recent(struct trace *trace, u32 memory)
{
	for (u64 i = 0; i < trace->count; i++) {
		double ago = -log(1 - random_unit()) * 0.6 * memory;

		if (random_unit() < 0.7 && ago < trace->pages)
			trace->references[i] = trace->pages - 1 - (u32)ago;
		else
			trace->references[i] = trace->pages++;
	}
}

struct trace *trace_create(unsigned number, u64 seed, u32 memory)
{
	static const char *const names[] = {"zipf", "scan", "loop", "shift", "files", "twice",
		"phases", "drift", "uniform", "beside", "recent"};
	struct trace *trace;

	if (number >= ARRAY_SIZE(names))
		return NULL;
	random_state = seed;
	trace = calloc(1, sizeof(*trace));
	trace->name = names[number];
	trace->count = REFERENCES;
	trace->references = malloc(trace->count * sizeof(*trace->references));
	switch (number) {
	case 0:
		make_zipf(trace);
		break;
	case 1:
		make_scan(trace);
		break;
	case 2:
		make_loop(trace, memory);
		break;
	case 3:
		make_shift(trace);
		break;
	case 4:
		make_files(trace);
		break;
	case 5:
		make_twice(trace, memory);
		break;
	case 6:
		make_phases(trace, memory);
		break;
	case 7:
		make_drift(trace);
		break;
	case 8:
		make_uniform(trace);
		break;
	case 9:
		make_beside(trace, memory);
		break;
	default:
		make_recent(trace, memory);
	}
	trace->anonymous = trace->pages;
	return trace;
}

/* Words of a recorded trace: kind in the top two bits, page below; after a discard one more word.
 */
enum { RECORDED_FILE, RECORDED_ANONYMOUS, RECORDED_TURN, RECORDED_DISCARD };

struct trace *trace_read(const char *name, const char *path)
{
	FILE *file = fopen(path, "rb");
	struct trace *trace = calloc(1, sizeof(*trace));
	size_t room = 0;
	u32 word;

	if (!file) {
		free(trace);
		return NULL;
	}
	trace->name = name;
	trace->anonymous = 1U << 16;
	while (fread(&word, sizeof(word), 1, file) == 1) {
		u32 kind = word >> 30, page = word & (BIT(30) - 1);

		if (kind == RECORDED_DISCARD && fread(&word, sizeof(word), 1, file) != 1)
			break;
		if (kind != RECORDED_FILE && kind != RECORDED_ANONYMOUS)
			continue;
		if (kind == RECORDED_ANONYMOUS)
			page += trace->anonymous;
		if (trace->count == room) {
			room = room ? 2 * room : 1UL << 16;
			trace->references = realloc(
				trace->references, room * sizeof(*trace->references));
		}
		trace->references[trace->count++] = page;
		trace->pages = MAX(trace->pages, page + 1);
	}
	fclose(file);
	return trace;
}

void trace_free(struct trace *trace)
{
	free(trace->references);
	free(trace);
}
