/*
 * shim.h on a host that writes down which pages an application touches, for demand.py: file pages
 * at each read, anonymous pages when they fault into a small window of accessible ones (so that
 * pages touched again and again at once count once). Linked with the application in place of
 * guest-shim/hosted/, with --wrap=open and --wrap=read.
 *
 * The trace ($SHIM_TRACE) is 32-bit words: kind in the top two bits (0 file page, 1 anonymous page,
 * 2 a turn begins, 3 anonymous pages are given up: their number is the next word), page below.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest-shim/shim.h"

#define PAGE         4096u
#define USTAR_BLOCK  512u
#define WINDOW       16u
#define REGION_BYTES (1ul << 30)
#define FILES_MAX    8192u
#define HANDLES_MAX  1024

enum event { FILE_PAGE, ANONYMOUS_PAGE, TURN, DISCARD };

static struct shim_file files[FILES_MAX];
static uint64_t offsets[FILES_MAX]; /* of the contents in the disk image */
static unsigned count;
static unsigned opened[HANDLES_MAX]; /* file of each descriptor */
static FILE *trace;
static char *region;
static size_t used;
static char *window[WINDOW];
static unsigned next_in_window;

int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);
ssize_t __real_read(int handle, void *to, size_t bytes);
ssize_t __wrap_read(int handle, void *to, size_t bytes);

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void word(uint32_t value)
{
	if (fwrite(&value, sizeof(value), 1, trace) != 1)
		die("trace");
}

static void event(enum event kind, uint64_t page)
{
	word((uint32_t)kind << 30 | (uint32_t)page);
}

static int file_add(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)walk;
	if (type != FTW_F)
		return 0;
	if (count == FILES_MAX)
		return -1;
	files[count] = (struct shim_file){strdup(path + strlen("./")), (uint64_t)status->st_size};
	return files[count++].name ? 0 : -1;
}

static int order(const void *a, const void *b)
{
	return strcmp(((const struct shim_file *)a)->name, ((const struct shim_file *)b)->name);
}

static void fault(int signal_number, siginfo_t *info, void *context)
{
	char *page = (char *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1));

	(void)context;
	if (page < region || page >= region + REGION_BYTES) {
		signal(signal_number, SIG_DFL);
		return;
	}
	if (window[next_in_window])
		mprotect(window[next_in_window], PAGE, PROT_NONE);
	window[next_in_window] = page;
	next_in_window = (next_in_window + 1) % WINDOW;
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	event(ANONYMOUS_PAGE, (uint64_t)(page - region) / PAGE);
}

__attribute__((constructor)) static void start(void)
{
	struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
	const char *folder = getenv("SHIM_DATA"), *name = getenv("SHIM_TRACE");
	uint64_t offset = 0;

	trace = fopen(name ? name : "trace", "wb");
	if (!trace || (folder && chdir(folder) != 0) || nftw(".", file_add, 16, FTW_PHYS) != 0)
		die("trace");
	qsort(files, count, sizeof(*files), order);
	for (unsigned i = 0; i < count; i++) {
		offsets[i] = offset + USTAR_BLOCK;
		offset = offsets[i] + (files[i].size + USTAR_BLOCK - 1) / USTAR_BLOCK * USTAR_BLOCK;
	}
	region = mmap(
		NULL, REGION_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region == MAP_FAILED || sigaction(SIGSEGV, &action, NULL) != 0)
		die("trace");
}

int __wrap_open(const char *name, int flags, ...)
{
	const struct shim_file key = {.name = name};
	const struct shim_file *file = bsearch(&key, files, count, sizeof(*files), order);
	int handle = __real_open(name, flags);

	if (file && handle >= 0 && handle < HANDLES_MAX)
		opened[handle] = (unsigned)(file - files);
	return handle;
}

/* Through a buffer of its own: the kernel does not fault pages in for us. */
ssize_t __wrap_read(int handle, void *to, size_t bytes)
{
	static char buffer[1 << 20];
	uint64_t from = offsets[opened[handle]] + (uint64_t)lseek(handle, 0, SEEK_CUR);
	ssize_t got = __real_read(handle, buffer, bytes < sizeof(buffer) ? bytes : sizeof(buffer));

	if (got <= 0)
		return got;
	for (uint64_t page = from / PAGE; page <= (from + (uint64_t)got - 1) / PAGE; page++)
		event(FILE_PAGE, page);
	memcpy(to, buffer, (size_t)got);
	return got;
}

uint64_t shim_time_ns(void)
{
	return 0;
}

void shim_sleep_until(uint64_t ns)
{
	(void)ns;
	event(TURN, 0);
}

void *shim_alloc_anonymous(size_t bytes)
{
	char *start = region + used;

	used += (bytes + PAGE - 1) / PAGE * PAGE;
	return used <= REGION_BYTES ? start : NULL;
}

void shim_discard_anonymous(void *first, size_t bytes)
{
	event(DISCARD, (uint64_t)((char *)first - region) / PAGE);
	word((uint32_t)(bytes / PAGE));
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
