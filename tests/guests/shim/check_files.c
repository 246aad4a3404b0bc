/*
 * Files: that every byte is right, whatever the way to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-shim/shim.h"
#include "selftest.h"

#define FILES 80u /* as many as pack.py packs */

static unsigned number_of(const char *name)
{
	return (unsigned)strtoul(strrchr(name, '-') + 1, NULL, 10);
}

/* @bytes bytes at @offset of file @number. */
static bool content_is_right(
	const unsigned char *bytes, uint64_t length, unsigned number, uint64_t offset)
{
	uint64_t word = pattern_word(number, offset / 8);

	for (uint64_t i = 0; i < length; i++) {
		uint64_t at = offset + i;

		if (at % 8 == 0)
			word = pattern_word(number, at / 8);
		if (bytes[i] != (unsigned char)(word >> (at % 8 * 8)))
			return false;
	}
	return true;
}

static void check_whole(const struct shim_file *file)
{
	static unsigned char buffer[1000];
	int fd = open(file->name, O_RDONLY);
	uint64_t offset = 0;
	struct stat status;
	ssize_t got;

	CHECK(fd >= 3);
	CHECK(fstat(fd, &status) == 0 && (uint64_t)status.st_size == file->size);
	CHECK(S_ISREG(status.st_mode) && !isatty(fd));
	while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
		CHECK(content_is_right(buffer, (uint64_t)got, number_of(file->name), offset));
		offset += (uint64_t)got;
	}
	CHECK(got == 0 && offset == file->size);
	CHECK(lseek(fd, -1, SEEK_SET) == -1 && errno == EINVAL);
	CHECK(lseek(fd, 5, SEEK_END) == (off_t)file->size + 5 && read(fd, buffer, 1) == 0);
	CHECK(close(fd) == 0);
	CHECK(read(fd, buffer, 1) == -1 && errno == EBADF);
}

static void check_errors(void)
{
	struct stat status;
	char byte;
	FILE *f;

	CHECK(open("no/such/file", O_RDONLY) == -1 && errno == ENOENT);
	CHECK(open("./d1/file-8", O_RDWR) == -1 && errno == EROFS);
	CHECK(open("d1", O_RDONLY) == -1 && errno == ENOENT);
	CHECK(read(31, &byte, 1) == -1 && errno == EBADF);
	CHECK(read(-1, &byte, 1) == -1 && errno == EBADF);
	CHECK(read(4000, &byte, 1) == -1 && errno == EBADF);
	CHECK(stat("/d1/file-8", &status) == 0 && status.st_size == 4096);
	CHECK(read(STDIN_FILENO, &byte, 0) == 0); /* more would wait for an operator */
	f = fopen("d1/file-8", "rb");
	CHECK(f && fseek(f, 4095, SEEK_SET) == 0 && fgetc(f) != EOF && fgetc(f) == EOF &&
		!ferror(f));
	CHECK(f && fclose(f) == 0);
}

void check_files(void)
{
	struct shim_file file, previous = {"", 0};
	unsigned count = 0;

	for (; shim_file_at(count, &file) == 0; count++) {
		CHECK(strcmp(previous.name, file.name) < 0);
		check_whole(&file);
		previous = file;
	}
	CHECK(count == FILES);
	CHECK(shim_file_at(~0u, &file) == -1);
	check_errors();
}

void check_file_somewhere(void)
{
	static unsigned char *buffer; /* on the heap, so that the copy itself faults now and then */
	struct shim_file file;
	uint64_t offset;
	ssize_t got;
	int fd;

	if (!buffer)
		buffer = malloc(16 * PAGE_BYTES);
	CHECK(shim_file_at((unsigned)(random_next() % FILES), &file) == 0);
	fd = open(file.name, O_RDONLY);
	CHECK(fd >= 3);
	offset = random_next() % (file.size + 1);
	CHECK(lseek(fd, (off_t)offset, SEEK_SET) == (off_t)offset);
	got = read(fd, buffer + random_next() % 4096, 1 + random_next() % 6000);
	CHECK(got >= 0);
	CHECK(lseek(fd, (off_t)offset, SEEK_SET) == (off_t)offset);
	got = read(fd, buffer + 7 * PAGE_BYTES - 100, 1 + random_next() % 6000);
	CHECK(got >= 0 && content_is_right(buffer + 7 * PAGE_BYTES - 100, (uint64_t)got,
				  number_of(file.name), offset));
	CHECK(close(fd) == 0);
}

void check_file_copy(void *page)
{
	struct shim_file file;
	uint64_t offset;
	ssize_t got;
	int fd;

	CHECK(shim_file_at((unsigned)(random_next() % FILES), &file) == 0);
	fd = open(file.name, O_RDONLY);
	offset = random_next() % (file.size + 1);
	CHECK(lseek(fd, (off_t)offset, SEEK_SET) == (off_t)offset);
	got = read(fd, page, PAGE_BYTES);
	CHECK(got >= 0 && content_is_right(page, (uint64_t)got, number_of(file.name), offset));
	CHECK(close(fd) == 0);
}
