/*
 * Measures the tmem engine's operations. Timing: each operation in chunks of 64 pages, in turn with
 * the same chunk of plain copies by the same routine and of `rep movsq`, on memory that is as cold;
 * medians of 11 repetitions. A chunk that took more than three times the median one was interrupted
 * by the host's other work and does not count, in either series. Counting (under callgrind,
 * --count): instructions beside the copy and LZ4.
 *
 * --shape=NAME does one shape alone, --plain no other mode, --keys=N takes another set of hash
 * keys.
 *
 * Prints a line an operation: operation, shape, mode, pages, ns, ratio to the copy, to rep movsq,
 * bytes that are not data a page; a figure that does not apply is "-". bench_tmem.py makes the
 * table.
 */
#include "tests/bench/tmem/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <abi/hypercall.h>

static const struct shape shapes[] = {
	{"64", 64, false, false},
	{"64-sampled", 64, false, true},
	{"1", 1, false, false},
	{"512", 512, false, false},
	{"single", 0, false, false},
	{"64-random", 64, true, false},
	{"1-random", 1, true, false},
	{"512-random", 512, true, false},
	{"single-random", 0, true, false},
};

u64 pages = 65536;
static const char *only_shape;
static bool only_plain;

void must(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "bench-tmem: %s went wrong\n", what);
		exit(1);
	}
}

/* All operations of one shape in the other modes; the last fill is that of plain pages. Zero pages,
 * and those that are equal to stored ones, want no frame and evict nothing. */
static void with_contents(const struct shape *shape)
{
	bench_moving = true;
	for (unsigned m = 1; m < MODES; m++) {
		mode = &modes[m];
		fill_pages();
		with_room(shape);
		persistent(shape);
		flushes(shape);
		if (mode->adapts || mode->modes == TMEM_MODE_COMPRESS)
			when_full(shape, mode->adapts ? 1 : 3);
	}
	mode = &modes[0];
	bench_moving = !bench_counting;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--count"))
			bench_counting = true;
		else if (!strcmp(argv[i], "--plain"))
			only_plain = true;
		else if (!strncmp(argv[i], "--keys=", 7))
			first_key_state = strtoull(argv[i] + 7, NULL, 0);
		else if (!strncmp(argv[i], "--shape=", 8))
			only_shape = argv[i] + 8;
		else
			pages = strtoull(argv[i], NULL, 0);
	}
	must(pages >= 3 * CHUNK && pages % BLOCK_PAGES == 0, "the number of pages");
	bench_moving = !bench_counting;
	if (bench_counting)
		repetitions = 1;
	operations_start();
	measure_start();
	bench_store_memory(pages + pages / 16 + 16 * BLOCK_PAGES);
	fill_pages();

	/* The larger size is for the four operations that matter most, in sequence. */
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		if ((pages > 65536 && shapes[i].random) || (shapes[i].sampled && !bench_counting) ||
			(only_shape && strcmp(only_shape, shapes[i].name) != 0))
			continue;
		with_room(&shapes[i]);
		when_full(&shapes[i], 1);
		if (pages > 65536)
			continue;
		persistent(&shapes[i]);
		flushes(&shapes[i]);
		if (!only_plain && !shapes[i].sampled)
			with_contents(&shapes[i]);
	}
	if (bench_counting || only_shape)
		return 0;
	random_read(pages * 32);
	if (pages <= 65536)
		scaling();
	return 0;
}
