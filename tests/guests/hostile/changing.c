/*
 * What a hypercall reads changes under its hands: vCPU 1 writes while vCPU 0 calls. Whatever is
 * stored is something that once stood there; nothing else of the hypervisor may depend on it.
 */
#include "acts.h"
#include "machine.h"

#define WORDS  (PAGE / 8)
#define ROUNDS 2000

static volatile uint64_t page[WORDS] __attribute__((aligned(4096)));
static volatile uint64_t back[WORDS] __attribute__((aligned(4096)));
static volatile uint32_t writing, written;

/* A word says which one it is, and in which pass it was written. */
static uint64_t word(uint64_t index, uint64_t pass)
{
	return index << 32 | (uint32_t)pass;
}

static void write_pages(void)
{
	for (uint32_t pass = 1;; pass++) {
		for (unsigned i = 0; i < WORDS; i++)
			page[i] = word(i, pass);
		written = pass;
		writing = 1;
	}
}

static int64_t call(uint64_t number, int64_t pool, uint32_t index, const volatile void *at)
{
	return hypercall6(number, TMEM_HANDLE(pool, index), 7, 8, 9, (uint64_t)at / PAGE, 0);
}

static void wait_for_second(void)
{
	while (!writing)
		__asm__ volatile("pause");
}

uint64_t act_changing_page(void)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_PERSISTENT, 0, 0);
	uint32_t first;

	CHECK(pool >= 0);
	start_second(write_pages);
	wait_for_second();
	first = written;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		CHECK(call(HYPERCALL_TMEM_PUT, pool, round % 16, page) == 0);
		CHECK(call(HYPERCALL_TMEM_GET, pool, round % 16, back) == 0);
		for (unsigned i = 0; i < WORDS; i++)
			CHECK(back[i] >> 32 == i && (uint32_t)back[i] <= written + 1);
		/* A get into the page that is being written. */
		CHECK(call(HYPERCALL_TMEM_GET, pool, round % 16, page) == 0);
	}
	CHECK(written != first); /* else nothing changed, and nothing was shown */
	CHECK(hypercall1(HYPERCALL_TMEM_POOL_DESTROY, (uint64_t)pool) == 0);
	return 0;
}

static volatile struct tmem_batch_entry entries[TMEM_BATCH_MAX] __attribute__((aligned(4096)));
static volatile int64_t batch_pool;

static void set_entries(uint32_t op, int64_t pool, uint64_t gfn, uint64_t zero)
{
	for (unsigned i = 0; i < TMEM_BATCH_MAX; i++) {
		entries[i].op = op;
		entries[i].handle = TMEM_HANDLE(pool, i);
		entries[i].gfn = gfn;
		entries[i].zero[0] = zero;
	}
}

/* Good and bad by turns: a check must hold for the value that is used. */
static void write_entries(void)
{
	for (;;) {
		set_entries(HYPERCALL_TMEM_PUT, batch_pool, (uint64_t)page / PAGE, 0);
		set_entries(HYPERCALL_SHUTDOWN, batch_pool, ~0ul, 0);
		set_entries(HYPERCALL_TMEM_PUT, -1, (uint64_t)page / PAGE, 1);
		set_entries(HYPERCALL_TMEM_GET, INT32_MAX, 1ul << 40, 0);
		writing = 1;
	}
}

uint64_t act_changing_batch(void)
{
	batch_pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);
	CHECK(batch_pool >= 0);
	start_second(write_entries);
	wait_for_second();
	for (unsigned round = 0; round < ROUNDS; round++) {
		CHECK(hypercall2(HYPERCALL_TMEM_BATCH, (uint64_t)entries, TMEM_BATCH_MAX) ==
			TMEM_BATCH_MAX);
		for (unsigned i = 0; i < TMEM_BATCH_MAX; i++)
			switch (entries[i].result) {
			case 0:
			case -SLUICE_EINVAL:
			case -SLUICE_EBADF:
			case -SLUICE_EFAULT:
			case -SLUICE_ENOENT:
			case -SLUICE_ENOMEM:
			case -SLUICE_ENOSPC:
				break;
			default:
				return __LINE__;
			}
	}
	return 0;
}
