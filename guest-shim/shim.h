/*
 * What an application may use beside the C library. The same application compiles on a host, where
 * hosted/shim_hosted.c stands behind these functions.
 *
 * The C library in a guest: stdio, malloc, string, time and math of newlib; open, read, lseek,
 * fstat, close on the read-only files of the data disk; gettimeofday, clock_gettime, nanosleep,
 * usleep, times on virtual time (the epoch is the guest's start); stdin is what the operator types.
 * Floating point and SSE work.
 * There is one thread, in ring 0, and a second one for little things (threads.h); its stack has
 * SHIM_STACK_BYTES and is never paged out, while the heap is. main's return value or exit's
 * argument is what the hypervisor sees: 0 says that the results were verified.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHIM_STACK_BYTES (128 * 1024)

/* Virtual nanoseconds since the guest started. */
uint64_t shim_time_ns(void);

/* Sleeps until shim_time_ns() >= @ns; returns at once if it is. */
void shim_sleep_until(uint64_t ns);

/* Whether the operator has asked the guest to end (docs/console.md); it stays so, and reads from
 * stdin find their end. It is up to the application when it looks, and what it does. On a host:
 * SIGTERM came after the first call. */
bool shim_shutdown_requested(void);

/* @bytes of zeros at a page border, paged in and out like the heap, never freed; NULL if there is
 * no more. */
void *shim_alloc_anonymous(size_t bytes);

/* The whole pages in @bytes from @start, of such an allocation, are needed no more: their contents
 * are forgotten and read as zeros. What madvise(MADV_DONTNEED) does on Linux. */
void shim_discard_anonymous(void *start, size_t bytes);

/* A file of the data disk. The name stays valid; open() takes it. */
struct shim_file {
	const char *name;
	uint64_t size;
};

/* The files in the order of their names (strcmp): @index counts from 0. Returns 0, or -1 beyond the
 * last. */
int shim_file_at(unsigned index, struct shim_file *file);

/* Pages of 4 KiB: how memory is used now, and what happened so far (0 where the host cannot know).
 */
struct shim_statistics {
	uint64_t total, free, file, anonymous, fixed;
	uint64_t cache_hits, cache_misses, first_reads, disk_reads;
	uint64_t precache_puts, precache_hits;
	uint64_t faults, swap_writes, swap_reads, preswap_puts, preswap_hits;
};

/* Fills in @statistics. Application context. */
void shim_statistics(struct shim_statistics *statistics);

#endif
