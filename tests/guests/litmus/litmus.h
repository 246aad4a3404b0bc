/*
 * What two vCPUs may rely on when both use tmem at once. Each act says 0, or the number of the line
 * that found something else.
 */
#ifndef LITMUS_LITMUS_H
#define LITMUS_LITMUS_H

#include <abi/filter.h>

#include "../common/guest.h"

#define PAGE  4096u
#define WORDS (PAGE / 8)

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__;                                                           \
	} while (0)

/* One vCPU: the filter says what puts, gets and flushes say, while it grows and shrinks. */
uint64_t act_filter(uint32_t rounds);
/* A write into the window: the hypervisor stops the guest. */
uint64_t act_window_write(uint32_t rounds);
/* The same by the processor's own hand, in a page walk. */
uint64_t act_window_tables(uint32_t rounds);
/* vCPU 0 puts and says so, vCPU 1 looks: it is never surely absent. */
uint64_t act_message(uint32_t rounds);
/* Both put, get and flush the same handles. */
uint64_t act_races(uint32_t rounds);

/* Runs @function on vCPU 1, for ever. */
void start_second(void (*function)(void));
static inline void relax(void)
{
	__asm__ volatile("pause");
}

/* A filter's window, mapped, and its key. */
struct window {
	const void *at;
	uint64_t key[TMEM_FILTER_KEY_WORDS];
};
/* The error of the hypercall. One window at a time is mapped. */
int64_t window_open(struct window *window, int64_t pool);
bool surely_lacks(const struct window *window, uint64_t object, uint32_t index);

static inline int64_t page_call(
	uint64_t number, int64_t pool, uint64_t object, uint32_t index, const volatile void *page)
{
	return hypercall6(
		number, TMEM_HANDLE(pool, index), object, 0, 0, (uintptr_t)page / PAGE, 0);
}

/* xorshift64*. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

#endif
