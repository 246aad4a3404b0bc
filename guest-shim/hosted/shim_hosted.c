/*
 * shim.h on a host, so that applications can be tried and measured without a guest. The data disk
 * is the folder that SHIM_DATA names (the current one by default), and becomes the current folder;
 * the host does the paging, so its statistics stay 0.
 */
#define _GNU_SOURCE
#include "guest-shim/shim.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define OPEN_FOLDERS 16

static struct shim_file *files;
static unsigned count, room;
static struct timespec began;

static void die(const char *what)
{
	fprintf(stderr, "shim_hosted: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static int file_add(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)walk;
	if (type != FTW_F || !S_ISREG(status->st_mode))
		return 0;
	if (count == room) {
		room = room ? 2 * room : 256;
		files = realloc(files, room * sizeof(*files));
		if (!files)
			die("list of files");
	}
	files[count] = (struct shim_file){strdup(path + strlen("./")), (uint64_t)status->st_size};
	if (!files[count].name)
		die("list of files");
	count++;
	return 0;
}

static int order(const void *a, const void *b)
{
	const struct shim_file *left = a, *right = b;

	return strcmp(left->name, right->name);
}

/* Before main(), as in a guest, where the disk is mounted by then. */
__attribute__((constructor)) static void mount(void)
{
	const char *folder = getenv("SHIM_DATA");

	clock_gettime(CLOCK_MONOTONIC, &began);
	if (folder && chdir(folder) != 0)
		die(folder);
	if (nftw(".", file_add, OPEN_FOLDERS, FTW_PHYS) != 0)
		die("walking the data folder");
	qsort(files, count, sizeof(*files), order);
}

uint64_t shim_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)(now.tv_sec - began.tv_sec) * 1000000000 + (uint64_t)now.tv_nsec -
	       (uint64_t)began.tv_nsec;
}

void shim_sleep_until(uint64_t ns)
{
	uint64_t now;

	while ((now = shim_time_ns()) < ns) {
		struct timespec wait = {
			(time_t)((ns - now) / 1000000000), (long)((ns - now) % 1000000000)};

		nanosleep(&wait, NULL);
	}
}

static volatile sig_atomic_t asked;

static void note_term(int number)
{
	(void)number;
	asked = 1;
}

bool shim_shutdown_requested(void)
{
	static bool installed;

	if (!installed)
		signal(SIGTERM, note_term);
	installed = true;
	return asked;
}

void *shim_alloc_anonymous(size_t bytes)
{
	void *memory = mmap(
		NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void shim_discard_anonymous(void *start, size_t bytes)
{
	if (madvise(start, bytes, MADV_DONTNEED) != 0)
		die("madvise");
}

int shim_file_at(unsigned index, struct shim_file *file)
{
	if (index >= count)
		return -1;
	*file = files[index];
	return 0;
}

void shim_statistics(struct shim_statistics *statistics)
{
	*statistics = (struct shim_statistics){0};
}
