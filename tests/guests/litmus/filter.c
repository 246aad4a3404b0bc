/*
 * The miss filter as its guest sees it: by itself, and with a second vCPU that only looks.
 */
#include "litmus.h"

#include <abi/volatile.h>

#define MARGIN        4096u /* puts that vCPU 0 may be ahead, as pages that are there at once */
#define OBJECT_LIVE   1
#define OBJECT_FILLER 2
#define OBJECT_NEVER  3

static uint8_t page[PAGE] __attribute__((aligned(4096)));
static uint8_t information[PAGE] __attribute__((aligned(4096)));
static struct window window;

static int64_t put(int64_t pool, uint64_t object, uint32_t index)
{
	return page_call(HYPERCALL_TMEM_PUT, pool, object, index, page);
}

static int64_t get(int64_t pool, uint64_t object, uint32_t index)
{
	return page_call(HYPERCALL_TMEM_GET, pool, object, index, page);
}

uint64_t act_filter(uint32_t rounds)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);
	uint32_t sure = 0, known = 0;

	CHECK(cpuid(SLUICE_CPUID_FEATURES, 0).ebx & SLUICE_FEATURE_TMEM_FILTER);
	CHECK(pool >= 0);
	CHECK(window_open(&window, pool + 1) == -SLUICE_EBADF);
	CHECK(window_open(&window, -1) == -SLUICE_EBADF);
	CHECK(hypercall2(HYPERCALL_TMEM_FILTER, (uint64_t)pool, 1ul << 40) == -SLUICE_EFAULT);
	CHECK(hypercall2(HYPERCALL_TMEM_FILTER, (uint64_t)pool, ~63ul) == -SLUICE_EFAULT);
	CHECK(window_open(&window, pool) == 0);
	/* It fills up, and is emptied from the front. */
	for (uint32_t n = 0; n < rounds; n++) {
		CHECK(put(pool, n / 100, n) == 0);
		CHECK(!surely_lacks(&window, n / 100, n));
		sure += surely_lacks(&window, OBJECT_NEVER + (1ul << 40), n);
	}
	for (uint32_t n = 0; n < rounds; n++) {
		bool lacks = surely_lacks(&window, n / 100, n);
		int64_t result = get(pool, n / 100, n);

		CHECK(result == 0 || result == -SLUICE_ENOENT); /* evicted */
		CHECK(!(lacks && result == 0));
		known += lacks || surely_lacks(&window, n / 100, n);
		CHECK(get(pool, n / 100, n) == -SLUICE_ENOENT);
	}
	print_value("surely absent", sure);
	print_value("absent after its hit", known);
	/* At most some 3% seem present, and none while there is nothing; before the first part is
	 * built all are. */
	CHECK(sure > rounds / 100 * 75 && known > rounds / 100 * 75);
	/* A page seen through the window is no page of the guest's own. */
	CHECK(page_call(HYPERCALL_TMEM_PUT, pool, 1, 1, (void *)0x100000000) == -SLUICE_EFAULT);
	CHECK(hypercall1(HYPERCALL_TMEM_POOL_DESTROY, (uint64_t)pool) == 0);
	CHECK(!surely_lacks(&window, 1, 1) || put(pool, 1, 1) == -SLUICE_EBADF);
	/* Its number comes again, with another key. */
	CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_PERSISTENT, 0, 0) == pool);
	CHECK(window_open(&window, pool) == 0);
	CHECK(put(pool, 1, 1) == 0 && !surely_lacks(&window, 1, 1));
	CHECK(get(pool, 1, 1) == 0 && !surely_lacks(&window, 1, 1));
	return 0;
}

uint64_t act_window_write(uint32_t rounds)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);

	(void)rounds;
	CHECK(window_open(&window, pool) == 0);
	(void)surely_lacks(&window, 1, 1); /* mapped, so that it is no absent page */
	/* Nor is it a page that was discarded, whose touch the processor tells the guest of. */
	if (cpuid(SLUICE_CPUID_FEATURES, 0).ebx & SLUICE_FEATURE_VE)
		CHECK(hypercall1(HYPERCALL_VOLATILE_VE, (uint64_t)information | VOLATILE_VE_ON) ==
			0);
	*(volatile uint64_t *)window.at = 2;
	return __LINE__;
}

uint64_t act_window_tables(uint32_t rounds)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);

	(void)rounds;
	CHECK(window_open(&window, pool) == 0);
	(void)surely_lacks(&window, 1, 1);
	__asm__ volatile("mov %0, %%cr3" : : "r"(1ul << 32) : "memory");
	return __LINE__;
}

/* ---- Put on one vCPU, look on the other --------------------------------------------- */

static volatile uint32_t published; /* pages below were put */
static volatile uint32_t checked;   /* pages below were looked for; the next may go */
static volatile uint32_t missed;    /* of those, surely absent: must be none */
static volatile uint32_t absent;    /* never there, and surely absent */

static void look_for_ever(void)
{
	for (;;) {
		uint32_t end = published;

		for (uint32_t n = checked; n < end; n++) {
			missed += surely_lacks(&window, OBJECT_LIVE, n);
			absent += surely_lacks(&window, OBJECT_NEVER, n);
			/* The newest, as soon as can be. */
			if (published != end)
				missed += surely_lacks(&window, OBJECT_LIVE, published - 1);
		}
		checked = end;
		if (end == published)
			relax();
	}
}

uint64_t act_message(uint32_t rounds)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);
	uint32_t removed = 0, filler = 0;

	CHECK(window_open(&window, pool) == 0);
	start_second(look_for_ever);
	for (uint32_t n = 0; n < rounds; n++) {
		CHECK(put(pool, OBJECT_LIVE, n) == 0);
		published = n + 1;
		while (n + 1 - checked > MARGIN)
			relax();
		for (; removed < checked; removed++)
			CHECK(get(pool, OBJECT_LIVE, removed) == 0);
		/* The pool grows and shrinks meanwhile, and so does its filter. */
		if (n % 4 == 0)
			CHECK(put(pool, OBJECT_FILLER, filler++) == 0);
		if (filler == 8000) {
			CHECK(page_call(HYPERCALL_TMEM_FLUSH_OBJECT, pool, OBJECT_FILLER, 0, 0) ==
				0);
			filler = 0;
		}
	}
	while (checked != rounds)
		relax();
	print_value("false absent", missed);
	print_value("surely absent", absent);
	print_value("changes of size",
		((const volatile struct tmem_filter_header *)window.at)->sequence / 2);
	CHECK(missed == 0);
	CHECK(absent > rounds / 2);
	return 0;
}
