/*
 * Puts and gets as a guest relies on them: all sixteen vector registers keep their values through
 * each call, a page comes back byte for byte, and the pages beside it stay as they are. The first
 * letter of the command line makes the values of two guests different.
 */
#include "guest.h"

#define PAGE   4096u
#define ROUNDS 300u
#define WORDS  32u /* sixteen registers */

enum step { ALL_RIGHT, NOT_SLUICE, NO_POOL, BAD_RESULT, BAD_VECTORS, BAD_PAGE, BAD_NEIGHBOUR };

/* tests/machine/vectors.S */
void vectors_load(const uint64_t *values);
void vectors_store(uint64_t *values);

/* One between two that nothing may touch. */
static uint64_t pages[3][PAGE / 8] __attribute__((aligned(PAGE)));
static uint64_t seed;

static uint64_t word(uint64_t page, uint64_t at)
{
	return (seed + page * PAGE + at + 1) * 0x9e3779b97f4a7c15u;
}

static void fill(unsigned which, uint64_t page)
{
	for (unsigned i = 0; i < PAGE / 8; i++)
		pages[which][i] = word(page, i);
}

static bool holds(unsigned which, uint64_t page)
{
	for (unsigned i = 0; i < PAGE / 8; i++)
		if (pages[which][i] != word(page, i))
			return false;
	return true;
}

/* A call on the middle page, with values in all vector registers. */
static enum step call(uint64_t number, int64_t pool, uint32_t index)
{
	uint64_t before[WORDS], after[WORDS];
	int64_t result;

	for (unsigned i = 0; i < WORDS; i++)
		before[i] = word(number * index, i);
	vectors_load(before);
	result = hypercall6(
		number, TMEM_HANDLE(pool, index), 0x5678, 0, 0, (uintptr_t)pages[1] / PAGE, 0);
	vectors_store(after);
	for (unsigned i = 0; i < WORDS; i++)
		if (before[i] != after[i])
			return BAD_VECTORS;
	return result == 0 ? ALL_RIGHT : BAD_RESULT;
}

static enum step put(int64_t pool, uint32_t index, uint64_t page)
{
	enum step step;

	fill(1, page);
	step = call(HYPERCALL_TMEM_PUT, pool, index);
	if (step)
		return step;
	return holds(1, page) ? ALL_RIGHT : BAD_PAGE;
}

static enum step get(int64_t pool, uint32_t index, uint64_t page)
{
	enum step step;

	fill(1, ~0u);
	step = call(HYPERCALL_TMEM_GET, pool, index);
	if (step)
		return step;
	if (!holds(1, page))
		return BAD_PAGE;
	return holds(0, 1) && holds(2, 2) ? ALL_RIGHT : BAD_NEIGHBOUR;
}

/* Each page is put, every third once more with other data, and all are got. */
static enum step use_pool(uint64_t flags)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, flags, 0, 0);
	enum step step = pool < 0 ? NO_POOL : ALL_RIGHT;

	for (uint32_t i = 0; i < ROUNDS && !step; i++)
		step = put(pool, i, 10 + i);
	for (uint32_t i = 0; i < ROUNDS && !step; i += 3)
		step = put(pool, i, 10 + ROUNDS + i);
	for (uint32_t i = 0; i < ROUNDS && !step; i++)
		step = get(pool, i, 10 + (i % 3 ? 0 : ROUNDS) + i);
	return step;
}

int main(const struct start_info *info)
{
	enum step step;

	if (!guest_on_sluice())
		return NOT_SLUICE;
	seed = (uint64_t) * (const unsigned char *)(uintptr_t)info->command_line << 32;
	fill(0, 1);
	fill(2, 2);
	step = use_pool(0);
	if (!step)
		step = use_pool(TMEM_POOL_PERSISTENT);
	print_value("vectors ended", step);
	return (int)step;
}
