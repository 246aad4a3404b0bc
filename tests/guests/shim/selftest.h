/*
 * The self-test of the shim: what its parts share. A check that fails is printed and counted;
 * main() returns how many did.
 */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_BYTES 4096u
#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			check_failed(__FILE__, __LINE__, #condition);                              \
	} while (0)

void check_failed(const char *file, int line, const char *condition);

/* xorshift64*: the same numbers in every run. */
uint64_t random_next(void);

/* Word @index of what the name @seed stands for: pack.py computes the same. */
uint64_t pattern_word(uint64_t seed, uint64_t index);

/* Files: contents, positions, errors. Checks every byte of every file. */
void check_files(void);

/* One random place of one random file. */
void check_file_somewhere(void);

/* One random page of a random file, read to @page. */
void check_file_copy(void *page);

/* Heap, stack, time, floating point. */
void check_library(void);

/* The second vCPU: what a thread may do, while main() pages. */
void check_threads(unsigned pages, unsigned rounds);

/* A thread that touches the heap: the guest ends. */
void check_thread_on_heap(void);

/* Anonymous memory larger than what the guest has, beside files; @rounds random steps, and more
 * until
 * @seconds have passed. */
void check_pressure(unsigned pages, unsigned rounds, unsigned seconds);

#endif
