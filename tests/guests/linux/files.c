/*
 * Files on a disk whose pages come and go, and what they must hold:
 *
 *   files fill DIR MIB         writes files of 1 MiB, whose pages say whose they are
 *   files read DIR MIB         reads them, and says how many pages were right
 *   files work DIR SEED STEPS  changes files in all ways at random, with a copy in memory; says
 *                              what was wrong first, or how many steps were right
 *   files same DISK DISK       reads both past the page cache, and says how many pages are the same
 *   files pieces DISK          reads and writes a disk with sectors of 512 bytes that can discard,
 * in ways in which file systems do not; says what was wrong first, or "right"
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pattern.h"

#define PAGES_A_FILE 256ul

static _Alignas(4096) char buffer[PAGES_A_FILE * PAGE_BYTES];
static _Alignas(4096) char other[PAGES_A_FILE * PAGE_BYTES];

static _Noreturn void fail(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	printf("wrong: ");
	vprintf(format, list);
	printf(" (%s)\n", strerror(errno));
	va_end(list);
	exit(1);
}

static int open_file(const char *folder, unsigned long number, int flags)
{
	char path[256];
	int file;

	snprintf(path, sizeof(path), "%s/%lu", folder, number);
	file = open(path, flags, 0600);
	if (file < 0)
		fail("%s does not open", path);
	return file;
}

static void fill(const char *folder, unsigned long count)
{
	for (unsigned long n = 0; n < count; n++) {
		int file = open_file(folder, n, O_WRONLY | O_CREAT | O_TRUNC);

		for (unsigned long i = 0; i < PAGES_A_FILE; i++)
			pattern_write(
				(uint64_t *)(buffer + i * PAGE_BYTES), n * PAGES_A_FILE + i, 0);
		if (write(file, buffer, sizeof(buffer)) != sizeof(buffer) || close(file))
			fail("file %lu is not written", n);
	}
	printf("%lu\n", count * PAGES_A_FILE);
}

static void read_all(const char *folder, unsigned long count)
{
	unsigned long right = 0;

	for (unsigned long n = 0; n < count; n++) {
		int file = open_file(folder, n, O_RDONLY);

		if (read(file, buffer, sizeof(buffer)) != sizeof(buffer) || close(file))
			fail("file %lu is not read", n);
		for (unsigned long i = 0; i < PAGES_A_FILE; i++)
			right += pattern_is(
				(uint64_t *)(buffer + i * PAGE_BYTES), n * PAGES_A_FILE + i, 0);
	}
	printf("%lu of %lu\n", right, count * PAGES_A_FILE);
}

static void same(const char *one_path, const char *other_path)
{
	int one = open(one_path, O_RDONLY | O_DIRECT), two = open(other_path, O_RDONLY | O_DIRECT);
	unsigned long pages = 0, equal = 0;
	ssize_t bytes;

	if (one < 0 || two < 0)
		fail("%s or %s does not open", one_path, other_path);
	while ((bytes = read(one, buffer, sizeof(buffer))) > 0) {
		if (read(two, other, sizeof(other)) != bytes)
			fail("page %lu of %s", pages, other_path);
		for (ssize_t at = 0; at < bytes; at += (ssize_t)PAGE_BYTES, pages++)
			equal += !memcmp(buffer + at, other + at, PAGE_BYTES);
	}
	if (bytes < 0)
		fail("page %lu of %s", pages, one_path);
	printf("%lu of %lu\n", equal, pages);
}

/* ---- Work -------------------------------------------------------------------------------------
 */

#define FILES     4u
#define FILE_MAX  (512 * PAGE_BYTES)
#define RANGE_MAX (64 * PAGE_BYTES)

/* A file as it should be. Beyond its size all is zeros, so that growing adds nothing else. */
static struct copy {
	int file, direct;
	size_t size;
	char *bytes;
} copies[FILES];

static uint64_t random_state;

static size_t random_below(size_t bound)
{
	random_state = pattern_word(random_state, 0, 1);
	return (size_t)(random_state >> 11) % bound;
}

static void write_to(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);

	if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text))
		fail("%s", path);
	close(file);
}

static void check_range(
	struct copy *copy, const char *at, size_t from, size_t bytes, const char *what)
{
	for (size_t i = 0; i < bytes; i++)
		if (at[i] != copy->bytes[from + i]) {
			errno = 0;
			fail("%s: file %ld of %zu bytes at %zu, %zu bytes from %zu on", what,
				(long)(copy - copies), copy->size, from + i, bytes, from);
		}
}

static void make(struct copy *copy, const char *folder)
{
	unsigned long number = (unsigned long)(copy - copies);

	copy->file = open_file(folder, number, O_RDWR | O_CREAT | O_TRUNC);
	copy->direct = open_file(folder, number, O_RDWR | O_DIRECT);
}

static void resize(struct copy *copy, size_t size)
{
	if (ftruncate(copy->file, (off_t)size))
		fail("a truncation to %zu", size);
	if (size < copy->size)
		memset(copy->bytes + size, 0, copy->size - size);
	copy->size = size;
}

static void new_content(struct copy *copy, size_t from, size_t bytes)
{
	uint64_t word = random_below(SIZE_MAX);

	for (size_t i = 0; i < bytes; i++) {
		if (i % 8 == 0)
			word = word * 6364136223846793005u + 1442695040888963407u;
		copy->bytes[from + i] = (char)(word >> 8 * (i % 8));
	}
	if (from + bytes > copy->size)
		copy->size = from + bytes;
}

static void write_range(struct copy *copy, int file, size_t from, size_t bytes)
{
	new_content(copy, from, bytes);
	memcpy(buffer, copy->bytes + from, bytes);
	if (pwrite(file, buffer, bytes, (off_t)from) != (ssize_t)bytes)
		fail("a write of %zu bytes at %zu", bytes, from);
}

static void read_range(struct copy *copy, int file, size_t from, size_t bytes, const char *what)
{
	size_t there = from >= copy->size ? 0 : copy->size - from;

	if (there > bytes)
		there = bytes;
	if (pread(file, buffer, bytes, (off_t)from) != (ssize_t)there)
		fail("%s of %zu bytes at %zu", what, bytes, from);
	check_range(copy, buffer, from, there, what);
}

/* Reads by a mapping, and then may write by it, within the file's size. */
static void work_mapped(struct copy *copy, size_t from, size_t bytes, bool writes)
{
	char *map;

	if (from + bytes > copy->size)
		return;
	map = mmap(NULL, FILE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, copy->file, 0);
	if (map == MAP_FAILED)
		fail("a mapping");
	check_range(copy, map + from, from, bytes, "a mapping");
	if (writes) {
		new_content(copy, from, bytes);
		memcpy(map + from, copy->bytes + from, bytes);
	}
	if (munmap(map, FILE_MAX))
		fail("the end of a mapping");
}

static void work_zeros(struct copy *copy, size_t from, size_t bytes, int how)
{
	if (fallocate(copy->file, how | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)bytes))
		fail("zeros");
	if (from < copy->size)
		memset(copy->bytes + from, 0,
			from + bytes > copy->size ? copy->size - from : bytes);
}

static void start_anew(struct copy *copy, const char *folder)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%ld", folder, (long)(copy - copies));
	close(copy->file);
	close(copy->direct);
	if (unlink(path))
		fail("%s stays", path);
	memset(copy->bytes, 0, copy->size);
	copy->size = 0;
	make(copy, folder);
}

/* Takes clean pages out of the page cache; what is to be clean must be written first. */
static void drop(struct copy *copy)
{
	int error = posix_fadvise(copy->file, 0, 0, POSIX_FADV_DONTNEED);

	if (error)
		fail("posix_fadvise: %s", strerror(error));
}

static void step(const char *folder)
{
	struct copy *copy = &copies[random_below(FILES)];
	size_t from = random_below(FILE_MAX - RANGE_MAX), bytes = 1 + random_below(RANGE_MAX);
	size_t page = from & ~(PAGE_BYTES - 1);
	size_t pages = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	size_t what = random_below(100);

	if (what < 34)
		read_range(copy, copy->file, from, bytes, "a read");
	else if (what < 44)
		work_mapped(copy, from, bytes, false);
	else if (what < 54)
		write_range(copy, copy->file, from, bytes);
	else if (what < 62)
		work_mapped(copy, from, 1 + random_below(4 * PAGE_BYTES), true);
	else if (what < 66)
		resize(copy, random_below(FILE_MAX));
	else if (what < 69)
		work_zeros(copy, from, bytes, FALLOC_FL_PUNCH_HOLE);
	else if (what < 71)
		work_zeros(copy, from, bytes, FALLOC_FL_ZERO_RANGE);
	else if (what < 75)
		read_range(copy, copy->direct, page, pages, "a direct read");
	else if (what < 79)
		write_range(copy, copy->direct, page, pages);
	else if (what < 84 && fdatasync(copy->file))
		fail("fdatasync");
	else if (what < 96)
		drop(copy);
	else if (what < 97)
		write_to("/proc/sys/vm/drop_caches", "1");
	else if (what < 98)
		write_to("/proc/sys/vm/compact_memory", "1");
	else if (what == 99)
		start_anew(copy, folder);
}

static void work(const char *folder, uint64_t seed, unsigned long steps)
{
	random_state = seed;
	for (unsigned i = 0; i < FILES; i++) {
		copies[i].bytes = mmap(
			NULL, FILE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (copies[i].bytes == MAP_FAILED)
			fail("no memory");
		make(&copies[i], folder);
		write_range(&copies[i], copies[i].file, 0, RANGE_MAX);
	}
	for (unsigned long i = 0; i < steps; i++)
		step(folder);
	for (unsigned i = 0; i < FILES; i++) {
		if (fsync(copies[i].file))
			fail("fsync");
		drop(&copies[i]);
		for (size_t at = 0; at < copies[i].size; at += RANGE_MAX)
			read_range(&copies[i], copies[i].file, at, RANGE_MAX, "the last read");
	}
	printf("%lu\n", steps);
}

/* ---- Pieces -----------------------------------------------------------------------------------
 */

#define FIRST   16ul
#define COUNT   16ul
#define ALIASED 40ul
#define PART    8ul
#define SECTOR  512ul

static char *read_page(int disk, unsigned long page)
{
	memset(buffer, 0xee, PAGE_BYTES);
	if (pread(disk, buffer, PAGE_BYTES, (off_t)(page * PAGE_BYTES)) != (ssize_t)PAGE_BYTES)
		fail("a read of page %lu", page);
	return buffer;
}

/* Through the page cache, which drops them again. */
static void read_and_drop(int disk)
{
	int error = posix_fadvise(disk, 0, 0, POSIX_FADV_RANDOM);

	for (unsigned long page = FIRST; page < FIRST + COUNT; page++)
		read_page(disk, page);
	error = error ? error : posix_fadvise(disk, 0, 0, POSIX_FADV_DONTNEED);
	if (error)
		fail("posix_fadvise: %s", strerror(error));
}

static void expect(bool is_so, const char *what)
{
	errno = 0;
	if (!is_so)
		fail("%s", what);
}

/* Linux has pages of a partition in another page cache than those of the whole disk, and so does
 * not know that what it has there is old. */
static void write_past_partition(int direct, const char *path)
{
	int part = open(path, O_RDONLY);
	int error = part < 0 ? errno : posix_fadvise(part, 0, 0, POSIX_FADV_RANDOM);

	for (unsigned long page = ALIASED; !error && page < ALIASED + 2; page++) {
		pattern_write((uint64_t *)other, page, 0);
		if (pwrite(direct, other, PAGE_BYTES, (off_t)(page * PAGE_BYTES)) != PAGE_BYTES)
			fail("a write of page %lu", page);
		expect(pattern_is((uint64_t *)read_page(part, page - PART), page, 0),
			"a partition");
	}
	pattern_write((uint64_t *)other, ALIASED, 1);
	if (pwrite(direct, other, PAGE_BYTES, ALIASED * PAGE_BYTES) != PAGE_BYTES)
		fail("a write past the partition");
	error = error ? error : posix_fadvise(part, 0, 0, POSIX_FADV_DONTNEED);
	if (error)
		fail("%s: %s", path, strerror(error));
	for (unsigned long page = ALIASED; page < ALIASED + 2; page++)
		expect(pattern_is((uint64_t *)read_page(direct, page), page, page == ALIASED),
			"what was written past the partition");
}

static void pieces(const char *path, const char *part)
{
	int disk = open(path, O_RDWR), direct = open(path, O_RDWR | O_DIRECT);
	uint64_t zeroed[2] = {(FIRST + 2) * PAGE_BYTES, 2 * PAGE_BYTES};
	uint64_t discarded[2] = {(FIRST + 4) * PAGE_BYTES, 3 * PAGE_BYTES};
	char *off = other + SECTOR;
	ssize_t bytes = (ssize_t)(COUNT * PAGE_BYTES);

	if (disk < 0 || direct < 0)
		fail("%s does not open", path);
	for (unsigned long i = 0; i < COUNT; i++)
		pattern_write((uint64_t *)(buffer + i * PAGE_BYTES), FIRST + i, 0);
	if (pwrite(direct, buffer, (size_t)bytes, FIRST * PAGE_BYTES) != bytes)
		fail("the first write");
	read_and_drop(disk);

	/* What tmem has goes to frames; memory that is no whole pages is filled by the disk. */
	expect(pattern_is((uint64_t *)read_page(direct, FIRST), FIRST, 0), "the first page");
	if (pread(direct, off, (size_t)bytes, FIRST * PAGE_BYTES) != bytes)
		fail("a read into scattered memory");
	for (unsigned long i = 0; i < COUNT; i++) {
		memmove(buffer, off + i * PAGE_BYTES, PAGE_BYTES);
		expect(pattern_is((uint64_t *)buffer, FIRST + i, 0), "scattered memory");
	}

	/* One sector of a page that tmem has, and two that lie in two pages. */
	memset(other, 'a', 2 * SECTOR);
	if (pwrite(direct, other, SECTOR, (FIRST + 1) * PAGE_BYTES + 3 * SECTOR) != SECTOR ||
		pwrite(direct, other, 2 * SECTOR, (FIRST + 9) * PAGE_BYTES - SECTOR) != 2 * SECTOR)
		fail("a write of sectors");
	expect(!memcmp(read_page(direct, FIRST + 1) + 3 * SECTOR, other, SECTOR), "a sector");
	expect(!memcmp(read_page(direct, FIRST + 8) + 7 * SECTOR, other, SECTOR), "the one before");
	expect(!memcmp(read_page(direct, FIRST + 9), other, SECTOR), "the one behind");

	if (ioctl(direct, BLKZEROOUT, zeroed) || ioctl(direct, BLKDISCARD, discarded))
		fail("no zeros, or no discard");
	for (unsigned long page = FIRST + 2; page < FIRST + 7; page++)
		expect(is_zero((uint64_t *)read_page(direct, page)), "what was discarded");
	expect(pattern_is((uint64_t *)read_page(direct, FIRST + 7), FIRST + 7, 0), "the next page");

	/* And again, so that tmem has it all as it is now. */
	read_and_drop(disk);
	expect(is_zero((uint64_t *)read_page(direct, FIRST + 4)), "zeros from tmem");
	expect(!memcmp(read_page(direct, FIRST + 9), other, SECTOR), "a sector from tmem");
	write_past_partition(direct, part);
	puts("right");
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "fill"))
		fill(argv[2], strtoul(argv[3], NULL, 10));
	else if (argc == 4 && !strcmp(argv[1], "read"))
		read_all(argv[2], strtoul(argv[3], NULL, 10));
	else if (argc == 4 && !strcmp(argv[1], "same"))
		same(argv[2], argv[3]);
	else if (argc == 4 && !strcmp(argv[1], "pieces"))
		pieces(argv[2], argv[3]);
	else if (argc == 5 && !strcmp(argv[1], "work"))
		work(argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
	else
		return 2;
	return 0;
}
