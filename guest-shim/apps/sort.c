/*
 * sort: sorts all lines of a part of the corpus in memory larger than its RAM, so that it swaps.
 * Runs that fit the processor's reach are sorted by themselves, then merged; both read and write
 * memory in order, as a sort does that expects to swap. In the turns of others it holds no memory.
 *
 * Options: kilobytes (of text), seed (which files), expect (digest), and those of the schedule.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus.h"
#include "digest.h"
#include "guest-shim/shim.h"
#include "options.h"
#include "randomness.h"
#include "schedule.h"

#define RUN_BYTES (256u << 10)
#define RUNS_MAX  128u

/* Lines with their newline, one after the other; a run is a sorted stretch of them. */
struct run {
	const char *next, *end;
};

struct sorter {
	struct corpus corpus;
	uint32_t *order; /* of documents */
	uint64_t bytes;  /* of text to sort */
	char *text;      /* as read, then as runs */
	char *sorted;
	char *room;         /* RUN_BYTES */
	const char **lines; /* of a run */
	struct run runs[RUNS_MAX];
	uint32_t run_count;
};

static void *allocate(uint64_t bytes)
{
	void *memory = shim_alloc_anonymous(bytes);

	if (!memory) {
		printf("sort: no memory for %llu bytes\n", (unsigned long long)bytes);
		exit(2);
	}
	return memory;
}

static uint32_t line_length(const char *line)
{
	return (uint32_t)((const char *)memchr(line, '\n', RUN_BYTES) - line) + 1;
}

static int compare_lines(const char *a, const char *b)
{
	uint32_t a_length = line_length(a);
	uint32_t b_length = line_length(b);
	int order = memcmp(a, b, a_length < b_length ? a_length : b_length);

	return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_pointers(const void *a, const void *b)
{
	return compare_lines(*(const char *const *)a, *(const char *const *)b);
}

/* Fills @text with whole documents; the last is cut at a line's end. Every text ends with a
 * newline. */
static uint64_t read_text(struct sorter *sorter)
{
	uint64_t filled = 0;

	for (uint32_t i = 0; i < sorter->corpus.count && filled < sorter->bytes; i++) {
		uint32_t document = sorter->order[i];
		uint64_t left = sorter->bytes - filled - 1;
		uint32_t bytes = sorter->corpus.documents[document].bytes;
		uint32_t count = bytes < left ? bytes : (uint32_t)left;

		/* One read a page, so that the page cache sees what it would see of any program. */
		for (uint32_t at = 0; at < count; at += 4096)
			corpus_read(&sorter->corpus, document, at, sorter->text + filled + at,
				count - at < 4096 ? count - at : 4096);
		filled += count;
		if (filled && sorter->text[filled - 1] != '\n')
			sorter->text[filled++] = '\n';
		if (left == count)
			break;
	}
	return filled;
}

/* Sorts the lines of @text[0..bytes) by way of @room, which has as many bytes. */
static void sort_run(char *text, uint32_t bytes, char *room, const char **lines)
{
	uint32_t count = 0;
	char *to = room;

	for (const char *line = text; line < text + bytes; line += line_length(line))
		lines[count++] = line;
	qsort(lines, count, sizeof(*lines), compare_pointers);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t length = line_length(lines[i]);

		memcpy(to, lines[i], length);
		to += length;
	}
	memcpy(text, room, bytes);
}

static void make_runs(struct sorter *sorter, uint64_t bytes)
{
	uint64_t start = 0;

	sorter->run_count = 0;
	while (start < bytes) {
		uint64_t end = start + RUN_BYTES < bytes ? start + RUN_BYTES : bytes;

		while (sorter->text[end - 1] != '\n')
			end--;
		if (sorter->run_count == RUNS_MAX) {
			printf("sort: more than %u runs\n", RUNS_MAX);
			exit(2);
		}
		sort_run(
			sorter->text + start, (uint32_t)(end - start), sorter->room, sorter->lines);
		sorter->runs[sorter->run_count++] = (struct run){
			sorter->text + start, sorter->text + end};
		start = end;
	}
}

/* The heap of runs by their next line; runs[0] has the least. */
static void sift_down(struct run *runs, uint32_t count, uint32_t at)
{
	for (;;) {
		uint32_t least = at;

		for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
			if (compare_lines(runs[child].next, runs[least].next) < 0)
				least = child;
		if (least == at)
			return;

		struct run swap = runs[at];

		runs[at] = runs[least];
		runs[least] = swap;
		at = least;
	}
}

static uint64_t merge_runs(struct sorter *sorter)
{
	struct run *runs = sorter->runs;
	uint32_t count = sorter->run_count;
	char *to = sorter->sorted;

	for (uint32_t at = count / 2; at-- > 0;)
		sift_down(runs, count, at);
	while (count) {
		uint32_t length = line_length(runs[0].next);

		memcpy(to, runs[0].next, length);
		to += length;
		runs[0].next += length;
		if (runs[0].next == runs[0].end)
			runs[0] = runs[--count];
		sift_down(runs, count, 0);
	}
	return (uint64_t)(to - sorter->sorted);
}

/* Reads the result once more: its order, and its digest. */
static uint64_t check(const struct sorter *sorter, uint64_t bytes, uint64_t digest)
{
	const char *line = sorter->sorted;
	const char *end = line + bytes;
	uint64_t lines = 1;

	while (line + line_length(line) < end) {
		const char *next = line + line_length(line);

		if (compare_lines(line, next) > 0) {
			printf("sort: WRONG: line %llu is out of order\n",
				(unsigned long long)lines);
			exit(1);
		}
		line = next;
		lines++;
	}
	for (uint64_t i = 0; i + 8 <= bytes; i += 8) {
		uint64_t part;

		memcpy(&part, sorter->sorted + i, 8);
		digest = digest_word(digest, part);
	}
	return digest_word(digest, lines);
}

static uint64_t sort_once(struct sorter *sorter, uint64_t digest)
{
	uint64_t bytes, merged;

	bytes = read_text(sorter);
	make_runs(sorter, bytes);
	merged = merge_runs(sorter);
	if (merged != bytes) {
		printf("sort: WRONG: %llu bytes became %llu\n", (unsigned long long)bytes,
			(unsigned long long)merged);
		exit(1);
	}
	digest = check(sorter, bytes, digest);
	shim_discard_anonymous(sorter->sorted, sorter->bytes);
	shim_discard_anonymous(sorter->text, sorter->bytes);
	return digest;
}

static void choose_order(struct sorter *sorter, struct randomness *random)
{
	sorter->order = malloc(sorter->corpus.count * sizeof(uint32_t));
	if (!sorter->order) {
		printf("sort: no memory for the list of files\n");
		exit(2);
	}
	for (uint32_t i = 0; i < sorter->corpus.count; i++)
		sorter->order[i] = i;
	for (uint32_t i = sorter->corpus.count - 1; i > 0; i--) {
		uint32_t other = random_below(random, i + 1);
		uint32_t document = sorter->order[other];

		sorter->order[other] = sorter->order[i];
		sorter->order[i] = document;
	}
}

int main(int argc, char **argv)
{
	uint64_t expected = option(argc, argv, "expect", 0);
	struct randomness random = {option(argc, argv, "seed", 1)};
	static struct sorter sorter;
	uint64_t digest = DIGEST_START;
	struct schedule schedule;
	bool hungry;

	sorter.bytes = option(argc, argv, "kilobytes", 4096) << 10;
	schedule_init(&schedule, argc, argv);
	corpus_open(&sorter.corpus);
	choose_order(&sorter, &random);
	sorter.text = allocate(sorter.bytes);
	sorter.sorted = allocate(sorter.bytes);
	sorter.room = allocate(RUN_BYTES);
	sorter.lines = allocate(RUN_BYTES * sizeof(*sorter.lines));
	while (schedule_next(&schedule, &hungry)) {
		if (!hungry)
			continue;
		digest = sort_once(&sorter, digest);
		printf("sort: turn %u: digest %#llx\n", (unsigned)schedule.next,
			(unsigned long long)digest);
	}
	printf("sort: digest=%#llx\n", (unsigned long long)digest);
	if (expected && digest != expected) {
		printf("sort: WRONG: expected %#llx\n", (unsigned long long)expected);
		return 1;
	}
	return 0;
}
