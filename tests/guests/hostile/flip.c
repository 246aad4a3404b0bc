/*
 * Page flips of what may not be flipped, and with a second vCPU that remembers where the page was.
 */
#include "acts.h"
#include "machine.h"

#define WORDS (PAGE / 8)

/* Pages that nothing else uses: the last 2 MiB of this guest's 6. */
#define FREE_GFN 1024u
#define RANGE    64u

static volatile uint64_t *page_at(uint64_t frame)
{
	return (volatile uint64_t *)(uintptr_t)(frame * PAGE);
}

static void fill(uint64_t frame, uint64_t seed)
{
	for (unsigned i = 0; i < WORDS; i++)
		page_at(frame)[i] = seed * 0x9e3779b97f4a7c15u + i;
}

static bool holds(uint64_t frame, uint64_t seed)
{
	for (unsigned i = 0; i < WORDS; i++)
		if (page_at(frame)[i] != seed * 0x9e3779b97f4a7c15u + i)
			return false;
	return true;
}

static int64_t call(uint64_t number, int64_t pool, uint32_t index, uint64_t frame)
{
	return hypercall6(number, TMEM_HANDLE(pool, index), 1, 2, 3, frame, 0);
}

static int64_t put(int64_t pool, uint32_t index, uint64_t frame)
{
	return call(HYPERCALL_TMEM_PUT_FLIP, pool, index, frame);
}

static int64_t get(int64_t pool, uint32_t index, uint64_t frame)
{
	return call(HYPERCALL_TMEM_GET_FLIP, pool, index, frame);
}

static int64_t declare(uint64_t first, uint64_t pages)
{
	return hypercall2(HYPERCALL_FLIP_DECLARE, first, pages);
}

static int64_t undeclare(uint64_t first, uint64_t pages)
{
	return hypercall2(HYPERCALL_FLIP_UNDECLARE, first, pages);
}

static uint64_t bad_ranges(void)
{
	const uint64_t end = ram_end(start_info) / PAGE;
	const uint64_t beyond[] = {end, 0xc0000, 0xfec00, 0x100000, 1ul << 36, 1ul << 52, ~0ul};

	for (unsigned i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
		CHECK(declare(beyond[i], 1) == -SLUICE_EFAULT);
	CHECK(declare(end - 1, 2) == -SLUICE_EFAULT);
	CHECK(declare(1, ~0ul) == -SLUICE_EFAULT);
	CHECK(declare(FREE_GFN, 0) == -SLUICE_EINVAL);
	CHECK(declare(FREE_GFN, RANGE) == 0);
	/* Twice, in part, around it. */
	CHECK(declare(FREE_GFN, RANGE) == -SLUICE_EINVAL);
	CHECK(declare(FREE_GFN + RANGE - 1, 2) == -SLUICE_EINVAL);
	CHECK(declare(FREE_GFN - 1, RANGE + 2) == -SLUICE_EINVAL);
	CHECK(undeclare(FREE_GFN, RANGE - 1) == -SLUICE_EINVAL);
	CHECK(undeclare(FREE_GFN + 1, RANGE - 1) == -SLUICE_EINVAL);
	CHECK(undeclare(FREE_GFN, ~0ul) == -SLUICE_EINVAL);
	for (unsigned i = 1; i < 8; i++)
		CHECK(declare(FREE_GFN + RANGE + i, 1) == 0);
	CHECK(declare(FREE_GFN + 2 * RANGE, 1) == -SLUICE_ENOSPC);
	for (unsigned i = 1; i < 8; i++)
		CHECK(undeclare(FREE_GFN + RANGE + i, 1) == 0);
	CHECK(undeclare(FREE_GFN + RANGE + 1, 1) == -SLUICE_EINVAL);
	return 0;
}

static uint64_t bad_frames(int64_t pool, int64_t lasting)
{
	const uint64_t end = ram_end(start_info) / PAGE;

	fill(FREE_GFN, 1);
	CHECK(put(lasting, 1, FREE_GFN) == 0);
	CHECK(get(lasting, 1, end) == -SLUICE_EFAULT);
	CHECK(get(lasting, 1, ~0ul) == -SLUICE_EFAULT);
	CHECK(get(lasting, 1, FREE_GFN) == 0 && holds(FREE_GFN, 1));
	CHECK(put(lasting, 1, end) == -SLUICE_EFAULT);
	CHECK(get(lasting, 1, FREE_GFN) == -SLUICE_ENOENT);
	CHECK(put(-1, 1, FREE_GFN) == -SLUICE_EBADF && holds(FREE_GFN, 1));
	CHECK(get(INT32_MAX, 1, FREE_GFN) == -SLUICE_EBADF);

	/* Outside of the range both are copies. */
	fill(FREE_GFN + RANGE, 2);
	CHECK(put(pool, 2, FREE_GFN + RANGE) == 0 && holds(FREE_GFN + RANGE, 2));
	CHECK(get(pool, 2, FREE_GFN + RANGE + 1) == 0 && holds(FREE_GFN + RANGE + 1, 2));
	return 0;
}

static uint64_t held_frames(int64_t pool)
{
	uint64_t ring = balloon_begin();

	/* A request, since a page of zeros would be copied: it takes no frame in the store. */
	CHECK(balloon_takes(FREE_GFN + 6));
	CHECK(balloon_gives(FREE_GFN + 6));
	/* Pinned: neither way, and a put leaves no old copy. */
	CHECK(declare(ring, 1) == 0);
	fill(FREE_GFN, 3);
	CHECK(put(pool, 3, FREE_GFN) == 0);
	CHECK(get(pool, 3, ring) == -SLUICE_EBUSY);
	CHECK(put(pool, 3, ring) == -SLUICE_EBUSY);
	CHECK(get(pool, 3, FREE_GFN) == -SLUICE_ENOENT);
	CHECK(undeclare(ring, 1) == 0);

	/* In the balloon there is nothing; what comes out of it can be flipped. */
	CHECK(balloon_takes(FREE_GFN + 5));
	CHECK(put(pool, 4, FREE_GFN + 5) == -SLUICE_EFAULT);
	CHECK(get(pool, 4, FREE_GFN + 5) == -SLUICE_EFAULT);
	CHECK(balloon_gives(FREE_GFN + 5));
	fill(FREE_GFN + 5, 4);
	CHECK(put(pool, 4, FREE_GFN + 5) == 0);
	/* What stands there now goes into the balloon, what comes out is another. */
	CHECK(balloon_takes(FREE_GFN + 5));
	CHECK(balloon_gives(FREE_GFN + 5));
	fill(FREE_GFN + 5, 5);
	CHECK(get(pool, 4, FREE_GFN + 5) == 0 && holds(FREE_GFN + 5, 4));
	return 0;
}

/* Pages go round: each is what it was, and none holds what others wrote. */
static uint64_t honest_flips(int64_t pool)
{
	for (unsigned round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < RANGE; i++) {
			fill(FREE_GFN + i, round * RANGE + i);
			CHECK(put(pool, i, FREE_GFN + i) == 0);
		}
		for (uint32_t i = 0; i < RANGE; i++) {
			uint64_t frame = FREE_GFN + (i * 5 + round) % RANGE;

			CHECK(get(pool, i, frame) == 0);
			CHECK(holds(frame, round * RANGE + i));
		}
	}
	return 0;
}

uint64_t act_bad_flips(void)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);
	int64_t lasting = hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_PERSISTENT, 0, 0);
	uint64_t line;

	CHECK(pool >= 0 && lasting >= 0);
	CHECK(cpuid(SLUICE_CPUID_FEATURES, 0).ebx & SLUICE_FEATURE_TMEM_FLIP);
	line = bad_ranges();
	line = line ? line : bad_frames(pool, lasting);
	line = line ? line : held_frames(pool);
	return line ? line : honest_flips(pool);
}

/* ---- Two vCPUs ---------------------------------------------------------------------- */

#define ROUNDS 20

static volatile uint32_t wanted, done; /* passes over the page at FREE_GFN */
static volatile uint32_t at_once;      /* others, without being asked */

/* Between its passes it does nothing at all, so that its processor keeps its translations. */
static void write_when_asked(void)
{
	for (uint64_t pass = 1;; pass++) {
		while (wanted < pass && !at_once)
			;
		fill(FREE_GFN, pass << 32);
		done = (uint32_t)pass;
	}
}

static void write_once(void)
{
	wanted = done + 1;
	while (done != wanted)
		__asm__ volatile("pause");
}

uint64_t act_changing_flip(void)
{
	int64_t lasting = hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_PERSISTENT, 0, 0);
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);

	CHECK(pool >= 0 && lasting >= 0);
	CHECK(declare(FREE_GFN, RANGE) == 0);
	start_second(write_when_asked);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint64_t stored;

		/* The other vCPU has written the page, and writes it again after the put: not into
		 * the frame that is the store's now, and not in vain. */
		write_once();
		stored = (uint64_t)done << 32;
		CHECK(put(lasting, round % 8, FREE_GFN) == 0);
		write_once();
		CHECK(holds(FREE_GFN, (uint64_t)done << 32));
		CHECK(get(lasting, round % 8, FREE_GFN + 1) == 0);
		CHECK(holds(FREE_GFN + 1, stored));

		/* The same when the page comes back where it was. */
		fill(FREE_GFN + 2, round + 1);
		CHECK(put(pool, 1, FREE_GFN + 2) == 0);
		write_once();
		CHECK(get(pool, 1, FREE_GFN) == 0);
		CHECK(holds(FREE_GFN, round + 1));
		write_once();
		CHECK(holds(FREE_GFN, (uint64_t)done << 32));
	}
	/* While it writes all the time, every put is one page, the same whenever it is asked for.
	 */
	at_once = 1;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		CHECK(put(lasting, 9, FREE_GFN) == 0);
		CHECK(get(lasting, 9, FREE_GFN + 3) == 0);
		CHECK(get(lasting, 9, FREE_GFN + 4) == 0);
		for (unsigned i = 0; i < WORDS; i++)
			CHECK(page_at(FREE_GFN + 3)[i] == page_at(FREE_GFN + 4)[i]);
	}
	return 0;
}
