/*
 * Page flip against copying: the same puts and gets of pages in one range, which is declared or
 * not. The runner boots a guest for each way, and reads from the hypervisor's log how often the
 * guest's translations were flushed and how many large pages were split for it.
 */
#include "bench.h"

/* From 4 MiB on: nothing else is there. */
#define FIRST_GFN 1024u
#define FRAME(i)  (FIRST_GFN + (i) % FRAMES)
#define FRAMES    64u

static uint64_t times[SAMPLES];

static volatile uint64_t *page_at(uint64_t frame)
{
	return (volatile uint64_t *)(uintptr_t)(frame * PAGE);
}

/* No two words that a glance looks at are equal: the page is none of zeros. */
static void write_page(uint64_t frame, uint64_t seed)
{
	page_at(frame)[0] = seed;
	page_at(frame)[1] = ~seed;
	page_at(frame)[PAGE / 8 - 1] = seed * 3;
}

static bool is_page(uint64_t frame, uint64_t seed)
{
	return page_at(frame)[0] == seed && page_at(frame)[1] == ~seed &&
	       page_at(frame)[PAGE / 8 - 1] == seed * 3;
}

static uint64_t call(uint64_t number, int64_t pool, uint32_t index, uint64_t frame, bool *good)
{
	timed *time = guest_uses_vmmcall() ? time_vmmcall : time_vmcall;
	struct registers r = {
		.rax = number, .rdi = TMEM_HANDLE(pool, index), .rsi = 0x1234, .r8 = frame};
	uint64_t ticks = time(&r);

	*good = r.rax == 0;
	return ticks;
}

/* Each page is put and got before the next: what a get leaves serves the next put. */
static enum step measure_pairs(uint64_t put, uint64_t get, int64_t pool)
{
	bool good;

	for (unsigned i = 0; i < SAMPLES; i++) {
		write_page(FRAME(i), i + 1);
		samples[i] = call(put, pool, i, FRAME(i), &good);
		if (!good)
			return BAD_PUT;
		times[i] = call(get, pool, i, FRAME(i + 1), &good);
		if (!good)
			return BAD_GET;
		if (!is_page(FRAME(i + 1), i + 1))
			return BAD_PAGE;
	}
	report("put", median() - empty_loop);
	memcpy(samples, times, sizeof(samples));
	report("get", median() - empty_loop);
	return ALL_RIGHT;
}

/* Puts alone: for each of them there must be a fresh frame. */
static enum step measure_puts(const char *name, uint64_t put, int64_t pool)
{
	bool good;

	for (unsigned i = 0; i < SAMPLES; i++) {
		write_page(FRAME(i), i + 1);
		samples[i] = call(put, pool, i, FRAME(i), &good);
		if (!good)
			return BAD_PUT;
	}
	report(name, median() - empty_loop);
	return ALL_RIGHT;
}

enum step measure_flip(bool flip)
{
	const uint64_t put = flip ? HYPERCALL_TMEM_PUT_FLIP : HYPERCALL_TMEM_PUT;
	const uint64_t get = flip ? HYPERCALL_TMEM_GET_FLIP : HYPERCALL_TMEM_GET;
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);
	int64_t other = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);
	enum step step;

	if (pool < 0 || other < 0)
		return NO_POOL;
	for (unsigned i = 0; i < FRAMES; i++)
		write_page(FRAME(i), i);
	if (flip && hypercall2(HYPERCALL_FLIP_DECLARE, FIRST_GFN, FRAMES))
		return BAD_RANGE;
	/* Once for what grows with the first pages. */
	step = measure_puts("put_first_round", put, other);
	if (!step)
		step = measure_pairs(put, get, pool);
	return step ? step : measure_puts("put_alone", put, pool);
}
