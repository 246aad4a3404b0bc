/*
 * Hypercalls with numbers and arguments that nobody should send. Each must be answered with its
 * error and change nothing.
 */
#include "acts.h"
#include "machine.h"

#define NO_POOL 15 /* never created here */

static uint8_t page[PAGE] __attribute__((aligned(4096)));
static uint8_t back[PAGE] __attribute__((aligned(4096)));

static uint64_t gfn_of(const void *address)
{
	return (uint64_t)address / PAGE;
}

static int64_t put(uint64_t pool, uint32_t index, uint64_t gfn)
{
	return hypercall6(
		HYPERCALL_TMEM_PUT, (uint64_t)index << 32 | (uint32_t)pool, 1, 2, 3, gfn, 0);
}

static int64_t get(uint64_t pool, uint32_t index, uint64_t gfn)
{
	return hypercall6(
		HYPERCALL_TMEM_GET, (uint64_t)index << 32 | (uint32_t)pool, 1, 2, 3, gfn, 0);
}

static void fill(uint8_t *bytes, uint8_t seed)
{
	for (unsigned i = 0; i < PAGE; i++)
		bytes[i] = (uint8_t)(seed + i * 7);
}

static bool filled(const uint8_t *bytes, uint8_t seed)
{
	for (unsigned i = 0; i < PAGE; i++)
		if (bytes[i] != (uint8_t)(seed + i * 7))
			return false;
	return true;
}

uint64_t act_bad_numbers(void)
{
	static const uint64_t numbers[] = {0, 1, HYPERCALL_BASE - 1, HYPERCALL_BASE + 3,
		HYPERCALL_BASE + 0xf, HYPERCALL_TMEM_BATCH + 1, HYPERCALL_BASE + 0x3f,
		HYPERCALL_BASE + 0x5f, HYPERCALL_TMEM_ABANDON + 1, HYPERCALL_BASE + 0x9f,
		HYPERCALL_BASE + 0xffff, 0xffffffff, (uint64_t)1 << 32 | HYPERCALL_NULL,
		(uint64_t)1 << 63 | HYPERCALL_SHUTDOWN, ~(uint64_t)0};

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		CHECK(hypercall6(numbers[i], ~0ul, ~0ul, ~0ul, ~0ul, ~0ul, ~0ul) == -SLUICE_ENOSYS);
	CHECK(hypercall6(HYPERCALL_NULL, ~0ul, ~0ul, ~0ul, ~0ul, ~0ul, ~0ul) == 0);
	return 0;
}

uint64_t act_bad_pools(void)
{
	/* Of modes; these are no error. */
	const uint64_t switches = TMEM_POOL_NO_FILLED | TMEM_POOL_NO_DEDUP | TMEM_POOL_NO_COMPRESS;
	static const int32_t pools[] = {-1, -2, -16, INT32_MIN, NO_POOL, 16, 17, 255, INT32_MAX};
	static const int64_t wide[] = {-1, 16, 1l << 32, INT64_MIN, INT64_MAX, (1l << 32) - 1};
	uint64_t ids = 0;

	for (unsigned bit = 1; bit < 64; bit++)
		if (!(1ul << bit & switches))
			CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, 1ul << bit, 0, 0) ==
				-SLUICE_EINVAL);
	CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_SHARED | switches, 0, 0) ==
		-SLUICE_EINVAL);
	CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, ~0ul, 0, 0) == -SLUICE_EINVAL);
	for (unsigned i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		uint64_t pool = (uint32_t)pools[i];

		CHECK(put(pool, 0, gfn_of(page)) == -SLUICE_EBADF);
		CHECK(get(pool, 0, gfn_of(page)) == -SLUICE_EBADF);
		CHECK(hypercall6(HYPERCALL_TMEM_FLUSH_PAGE, pool, 1, 2, 3, 0, 0) == -SLUICE_EBADF);
		CHECK(hypercall6(HYPERCALL_TMEM_FLUSH_OBJECT, pool, 1, 2, 3, 0, 0) ==
			-SLUICE_EBADF);
		CHECK(hypercall1(HYPERCALL_TMEM_POOL_DESTROY, (uint64_t)(int64_t)pools[i]) ==
			-SLUICE_EBADF);
	}
	for (unsigned i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
		CHECK(hypercall1(HYPERCALL_TMEM_POOL_DESTROY, (uint64_t)wide[i]) == -SLUICE_EBADF);

	/* All ids, once each, then no more; destroyed twice. */
	for (unsigned i = 0; i < TMEM_POOLS_PER_GUEST; i++) {
		int64_t id = hypercall3(HYPERCALL_TMEM_POOL_NEW, i & TMEM_POOL_PERSISTENT, 0, 0);

		CHECK(id >= 0 && id < TMEM_POOLS_PER_GUEST && !(ids >> id & 1));
		ids |= 1ul << id;
	}
	CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0) == -SLUICE_ENOSPC);
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++) {
		CHECK(hypercall1(HYPERCALL_TMEM_POOL_DESTROY, id) == 0);
		CHECK(hypercall1(HYPERCALL_TMEM_POOL_DESTROY, id) == -SLUICE_EBADF);
	}
	return 0;
}

uint64_t act_bad_frames(void)
{
	const uint64_t frames[] = {ram_end(start_info) / PAGE, 0xc0000000 / PAGE, 0xfec00000 / PAGE,
		0x100000000 / PAGE, 1ul << 36, 1ul << 40, 1ul << 51, 1ul << 52, 1ul << 63, ~0ul};
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_PERSISTENT, 0, 0);

	CHECK(pool >= 0);
	for (unsigned i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		fill(page, (uint8_t)i);
		CHECK(put((uint64_t)pool, i, gfn_of(page)) == 0);
		/* A get of a bad frame changes nothing: the page is whole afterwards. */
		CHECK(get((uint64_t)pool, i, frames[i]) == -SLUICE_EFAULT);
		CHECK(get((uint64_t)pool, i, gfn_of(back)) == 0);
		CHECK(filled(back, (uint8_t)i));
		/* A put of a bad frame takes the old copy away: never stale data. */
		CHECK(put((uint64_t)pool, i, frames[i]) == -SLUICE_EFAULT);
		CHECK(get((uint64_t)pool, i, gfn_of(back)) == -SLUICE_ENOENT);
	}
	CHECK(hypercall1(HYPERCALL_TMEM_POOL_DESTROY, (uint64_t)pool) == 0);
	return 0;
}

static struct tmem_batch_entry entries[TMEM_BATCH_MAX + 1] __attribute__((aligned(4096)));

static int64_t batch(uint64_t address, uint64_t count)
{
	return hypercall2(HYPERCALL_TMEM_BATCH, address, count);
}

uint64_t act_bad_batches(void)
{
	uint64_t here = (uint64_t)entries;
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);

	CHECK(pool >= 0);
	CHECK(batch(here, 0) == -SLUICE_EINVAL);
	CHECK(batch(here + 1, 1) == -SLUICE_EINVAL);
	CHECK(batch(here + 32, 1) == -SLUICE_EINVAL);
	CHECK(batch(ram_end(start_info), 1) == -SLUICE_EFAULT);
	CHECK(batch(ram_end(start_info) - 64, 2) == -SLUICE_EFAULT);
	CHECK(batch(0xfec00000, 1) == -SLUICE_EFAULT);
	CHECK(batch(~63ul, 1) == -SLUICE_EFAULT);
	CHECK(batch(~63ul, 64) == -SLUICE_EFAULT);
	CHECK(batch(0ul - 4096, ~0ul) == -SLUICE_EFAULT);

	/* Counts beyond the limit, and such that their size in bytes wraps around. */
	entries[TMEM_BATCH_MAX].result = 77;
	CHECK(batch(here, TMEM_BATCH_MAX + 1) == TMEM_BATCH_MAX);
	CHECK(batch(here, 1ul << 58) == TMEM_BATCH_MAX);
	CHECK(batch(here, (1ul << 58) + 1) == TMEM_BATCH_MAX);
	CHECK(batch(here, ~0ul) == TMEM_BATCH_MAX);
	CHECK(entries[TMEM_BATCH_MAX].result == 77);

	/* No call but put, get and flush in an entry, and no data in reserved words. */
	for (unsigned i = 0; i < 8; i++)
		entries[i] = (struct tmem_batch_entry){
			.op = HYPERCALL_TMEM_PUT,
			.result = 77,
			.handle = TMEM_HANDLE(pool, i),
			.gfn = gfn_of(page),
		};
	entries[1].op = HYPERCALL_SHUTDOWN;
	entries[2].op = HYPERCALL_TMEM_BATCH;
	entries[3].op = 0xffffffff;
	entries[4].zero[1] = 1;
	entries[5].handle = TMEM_HANDLE(-1, 5);
	entries[6].gfn = ~0ul;
	CHECK(batch(here, 8) == 8);
	CHECK(entries[0].result == 0);
	CHECK(entries[1].result == -SLUICE_EINVAL);
	CHECK(entries[2].result == -SLUICE_EINVAL);
	CHECK(entries[3].result == -SLUICE_EINVAL);
	CHECK(entries[4].result == -SLUICE_EINVAL);
	CHECK(entries[5].result == -SLUICE_EBADF);
	CHECK(entries[6].result == -SLUICE_EFAULT);
	CHECK(entries[7].result == 0);
	return 0;
}

uint64_t act_bad_console(void)
{
	static const char text[] = "x";

	CHECK(hypercall2(HYPERCALL_CONSOLE_WRITE, ram_end(start_info), 16) == -SLUICE_EFAULT);
	CHECK(hypercall2(HYPERCALL_CONSOLE_WRITE, ~0ul, 1) == -SLUICE_EFAULT);
	CHECK(hypercall2(HYPERCALL_CONSOLE_WRITE, ~0ul, ~0ul) == -SLUICE_EFAULT);
	CHECK(hypercall2(HYPERCALL_CONSOLE_WRITE, 1ul << 52, 1) == -SLUICE_EFAULT);
	CHECK(hypercall2(HYPERCALL_CONSOLE_WRITE, 0xfec00000, 1) == -SLUICE_EFAULT);
	CHECK(hypercall2(HYPERCALL_CONSOLE_WRITE, (uint64_t)text, 0) == 0);
	/* A long one is cut: work is bounded. */
	memset(page, ' ', sizeof(page));
	CHECK(hypercall2(HYPERCALL_CONSOLE_WRITE, (uint64_t)page, ~0ul) <= (int64_t)PAGE);
	print("\n");
	return 0;
}
