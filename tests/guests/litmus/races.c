/*
 * Both vCPUs put, get and flush the same few handles. Calls take effect one after the other: a page
 * is what one put copied, never parts of two; what a later put of the same vCPU replaced does not
 * come back; and what a private ephemeral pool gave away it does not give again.
 */
#include "litmus.h"

#define HANDLES  8u
#define OBJECT   77
#define PUTS_MAX (1u << 21) /* of one vCPU */

struct side {
	uint64_t page[WORDS] __attribute__((aligned(4096)));
	uint64_t random;
	uint32_t puts; /* each page says which one it is */
	uint32_t hits;
	uint32_t newest[2][2][HANDLES]; /* seen: by pool, by who put it, by handle */
	uint8_t taken[2][PUTS_MAX / 8]; /* hits of the ephemeral pool, by who put it */
	volatile uint32_t rounds;
	volatile uint64_t failed;
};

static struct side sides[2];
static int64_t pools[2];
static volatile uint32_t rounds_wanted;

/* A page of put @number by vCPU @who of handle @handle: every word names all three. */
static uint64_t mark(uint64_t who, uint64_t handle, uint64_t number)
{
	return who << 63 | handle << 56 | (number + 1);
}

static uint64_t put(struct side *side, unsigned who, unsigned pool, uint32_t handle)
{
	CHECK(side->puts < PUTS_MAX);
	for (unsigned i = 0; i < WORDS; i++)
		side->page[i] = mark(who, handle, side->puts) * (2 * i + 1);
	side->puts++;
	CHECK(page_call(HYPERCALL_TMEM_PUT, pools[pool], OBJECT, handle, side->page) == 0);
	return 0;
}

static uint64_t get(struct side *side, unsigned pool, uint32_t handle)
{
	int64_t result;
	uint32_t number;
	unsigned who;

	result = page_call(HYPERCALL_TMEM_GET, pools[pool], OBJECT, handle, side->page);
	if (result == -SLUICE_ENOENT)
		return 0;
	CHECK(result == 0);
	for (unsigned i = 1; i < WORDS; i++)
		CHECK(side->page[i] == side->page[0] * (2 * i + 1));
	CHECK((side->page[0] >> 56 & 0x7f) == handle);
	who = side->page[0] >> 63;
	number = (uint32_t)side->page[0] - 1;
	CHECK(number < PUTS_MAX && number < *(volatile uint32_t *)&sides[who].puts);
	/* Puts of one vCPU to one handle come in order. */
	CHECK(number + 1 >= side->newest[pool][who][handle]);
	side->newest[pool][who][handle] = number + 1;
	side->hits++;
	if (pool == 0) {
		CHECK(!(side->taken[who][number / 8] >> number % 8 & 1));
		side->taken[who][number / 8] |= (uint8_t)(1u << number % 8);
	}
	return 0;
}

static uint64_t step(struct side *side, unsigned who)
{
	uint64_t choice = random_next(&side->random);
	unsigned pool = choice >> 20 & 1;
	uint32_t handle = choice >> 24 & (HANDLES - 1);

	switch (choice >> 32 & 7) {
	case 0:
	case 1:
	case 2:
		return put(side, who, pool, handle);
	case 3:
		CHECK(page_call(HYPERCALL_TMEM_FLUSH_PAGE, pools[pool], OBJECT, handle, 0) == 0);
		return 0;
	default:
		return get(side, pool, handle);
	}
}

static void play(unsigned who)
{
	struct side *side = &sides[who];

	side->random = who + 1;
	while (side->rounds < rounds_wanted && !side->failed) {
		side->failed = step(side, who);
		side->rounds++;
	}
}

static void second(void)
{
	play(1);
	for (;;)
		__asm__ volatile("hlt");
}

uint64_t act_races(uint32_t rounds)
{
	CHECK(rounds < PUTS_MAX);
	rounds_wanted = rounds;
	for (unsigned i = 0; i < 2; i++) {
		pools[i] = hypercall3(HYPERCALL_TMEM_POOL_NEW, i ? TMEM_POOL_PERSISTENT : 0, 0, 0);
		CHECK(pools[i] >= 0);
	}
	start_second(second);
	play(0);
	while (sides[1].rounds < rounds && !sides[1].failed)
		relax();
	print_value("hits", sides[0].hits + sides[1].hits);
	if (sides[0].failed)
		return sides[0].failed;
	if (sides[1].failed)
		return sides[1].failed;
	CHECK(sides[0].hits > rounds / 8 && sides[1].hits > rounds / 8);
	/* Nothing was given to both. */
	for (unsigned who = 0; who < 2; who++)
		for (unsigned i = 0; i < PUTS_MAX / 8; i++)
			CHECK(!(sides[0].taken[who][i] & sides[1].taken[who][i]));
	return 0;
}
