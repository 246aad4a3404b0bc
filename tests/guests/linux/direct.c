/*
 * Reads and writes the swap disk past Linux's page cache, in ways in which swapping does not:
 * direct DEVICE, a disk that is all zeros below. Prints the first thing that is wrong, or "right".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pattern.h"

#define PAGES    8ul
#define FIRST    16ul /* page of the disk */
#define MANY     100ul
#define MORE     128ul /* pages from there on, of three regions (guest-shim/linux/page_map.h) */
#define SCATTERS 512   /* bytes by which a buffer is off its pages */

static _Alignas(4096) char aligned[PAGES * PAGE_BYTES];
static _Alignas(4096) char scattered[(PAGES + 1) * PAGE_BYTES];

static void check(int is_so, const char *what)
{
	if (is_so)
		return;
	printf("wrong: %s (%s)\n", what, strerror(errno));
	exit(1);
}

static void fill(char *buffer, unsigned long first, unsigned long pages, unsigned generation)
{
	for (unsigned long i = 0; i < pages; i++)
		pattern_write((uint64_t *)(buffer + i * PAGE_BYTES), first + i, generation);
}

static void put(int disk, const char *buffer, unsigned long first, unsigned long pages)
{
	ssize_t bytes = (ssize_t)(pages * PAGE_BYTES);

	check(pwrite(disk, buffer, (size_t)bytes, (off_t)(first * PAGE_BYTES)) == bytes, "a write");
}

static char *get(int disk, char *buffer, unsigned long first, unsigned long pages)
{
	ssize_t bytes = (ssize_t)(pages * PAGE_BYTES);

	memset(buffer, 0xee, (size_t)bytes);
	check(pread(disk, buffer, (size_t)bytes, (off_t)(first * PAGE_BYTES)) == bytes, "a read");
	return buffer;
}

static bool holds(const char *buffer, unsigned long first, unsigned long pages, unsigned generation)
{
	for (unsigned long i = 0; i < pages; i++)
		if (!pattern_is((const uint64_t *)(buffer + i * PAGE_BYTES), first + i, generation))
			return false;
	return true;
}

int main(int argc, char **argv)
{
	int disk = argc == 2 ? open(argv[1], O_RDWR | O_DIRECT) : -1;
	int durable = argc == 2 ? open(argv[1], O_RDWR | O_DIRECT | O_DSYNC) : -1;
	char *off = scattered + SCATTERS;
	uint64_t range[2] = {(FIRST + 5) * PAGE_BYTES, 2 * PAGE_BYTES};

	check(disk >= 0 && durable >= 0, "the disk does not open");

	/* One request of many pages, which go one by one. */
	fill(aligned, FIRST, PAGES, 0);
	put(disk, aligned, FIRST, PAGES);
	check(holds(get(disk, aligned, FIRST, PAGES), FIRST, PAGES, 0), "what was written");

	/* Into memory that is no whole pages, and from there. */
	check(holds(get(disk, off, FIRST, PAGES), FIRST, PAGES, 0), "what scattered memory got");
	fill(off, FIRST + 2, 2, 1);
	put(disk, off, FIRST + 2, 2);
	check(holds(get(disk, aligned, FIRST + 2, 2), FIRST + 2, 2, 1), "scattered memory's");
	check(holds(get(disk, aligned, FIRST, 2), FIRST, 2, 0), "the pages before");
	check(holds(get(disk, aligned, FIRST + 4, 4), FIRST + 4, 4, 0), "the pages behind");

	/* Back to tmem; then past it, since it must be durable. */
	fill(aligned, FIRST + 3, 1, 2);
	put(disk, aligned, FIRST + 3, 1);
	check(holds(get(disk, aligned, FIRST + 3, 1), FIRST + 3, 1, 2), "what tmem has again");
	fill(aligned, FIRST + 4, 1, 3);
	put(durable, aligned, FIRST + 4, 1);
	check(holds(get(disk, aligned, FIRST + 4, 1), FIRST + 4, 1, 3), "what is durable");
	check(fsync(disk) == 0, "fsync");

	/* Discarded: the disk below never had it. */
	check(ioctl(disk, BLKDISCARD, range) == 0, "a discard");
	get(disk, aligned, FIRST + 4, 4);
	check(is_zero((uint64_t *)(aligned + PAGE_BYTES)), "the first page that was discarded");
	check(is_zero((uint64_t *)(aligned + 2 * PAGE_BYTES)), "the second one");
	check(holds(aligned, FIRST + 4, 1, 3), "the page before them");
	check(holds(aligned + 3 * PAGE_BYTES, FIRST + 7, 1, 0), "the page behind them");

	/* Many of them at once. */
	for (unsigned long page = MANY; page < MANY + MORE; page += PAGES) {
		fill(aligned, page, PAGES, 4);
		put(disk, aligned, page, PAGES);
	}
	range[0] = MANY * PAGE_BYTES;
	range[1] = MORE * PAGE_BYTES;
	check(ioctl(disk, BLKDISCARD, range) == 0, "a large discard");
	for (unsigned long page = MANY; page < MANY + MORE; page++)
		check(is_zero((uint64_t *)get(disk, aligned, page, 1)), "what was discarded");

	/* Less than a page is refused. */
	check(pwrite(disk, aligned, 512, 512) == -1 && errno == EINVAL, "a sector was taken");
	puts("right");
	return 0;
}
