/*
 * Vector registers as a guest relies on them, as wide as it has them: zero at the start, and
 * keeping their values through puts and gets, other exits, and turns of another guest; nobody
 * else's XCR0 or MXCSR. A page comes back byte for byte, and the pages beside it stay as they are.
 * The first letter of the command line makes the values of two guests different.
 */
#include "guest.h"
#include "wide.h"

#define PAGE   4096u
#define ROUNDS 300u

#define SPIN_MS 15u /* three turns of two guests on one processor */
#define SPINS   4u

#define MXCSR_RESET    0x1f80u
#define ROUNDING_SHIFT 13

enum step {
	ALL_RIGHT,
	NOT_SLUICE,
	BAD_XSAVE,
	NOT_FRESH,
	NO_POOL,
	BAD_RESULT,
	BAD_VECTORS,
	BAD_PAGE,
	BAD_NEIGHBOUR,
	BAD_EXIT,
	BAD_TURN,
	BAD_CONTROL
};

/* One between two that nothing may touch. */
static uint64_t pages[3][PAGE / 8] __attribute__((aligned(PAGE)));
static uint64_t seed;
static enum wide_level level;
static struct wide before, after;

static uint64_t word(uint64_t page, uint64_t at)
{
	return ((seed << 32) + page * PAGE + at + 1) * 0x9e3779b97f4a7c15u;
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

static uint32_t mxcsr(void)
{
	uint32_t value;

	__asm__ volatile("stmxcsr %0" : "=m"(value));
	return value;
}

static void load(uint64_t number)
{
	wide_fill(&before, seed << 32 | number, level);
	wide_load(&before, level);
}

static bool are_kept(void)
{
	wide_store(&after, level);
	return wide_equal(&before, &after);
}

/* Whoever had this processor before left nothing. */
static enum step check_fresh(void)
{
	uint16_t control;

	if (mxcsr() != MXCSR_RESET)
		return NOT_FRESH;
	__asm__ volatile("fnstcw %0" : "=m"(control));
	if (control != 0x37f)
		return NOT_FRESH;
	level = wide_enable(1);
	if (level == WIDE_BAD)
		return BAD_XSAVE;
	wide_fill(&before, 0, WIDE_BAD); /* zeros */
	return are_kept() ? ALL_RIGHT : NOT_FRESH;
}

/* A call on the middle page, with values in all vector registers. */
static enum step call(uint64_t number, int64_t pool, uint32_t index)
{
	int64_t result;

	load(number * ROUNDS + index);
	result = hypercall6(
		number, TMEM_HANDLE(pool, index), 0x5678, 0, 0, (uintptr_t)pages[1] / PAGE, 0);
	if (!are_kept())
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

/* Exits that do not copy. */
static enum step check_exits(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint8_t byte;

		load(i);
		(void)cpuid(1, 0);
		(void)hypercall0(HYPERCALL_NULL);
		__asm__ volatile("inb $0x80, %0" : "=a"(byte));
		if (!are_kept())
			return BAD_EXIT;
	}
	return ALL_RIGHT;
}

static void spin(void)
{
	uint64_t end = rdtsc() + SPIN_MS * ticks_per_ms();

	while (rdtsc() < end)
		;
}

/* While others have their turns: with all states on, and with those of SSE alone, which puts
 * nothing else away. Each guest has a rounding mode of its own. */
static enum step check_turns(void)
{
	const uint32_t control = MXCSR_RESET | (uint32_t)(seed & 3) << ROUNDING_SHIFT;

	__asm__ volatile("ldmxcsr %0" : : "m"(control));
	for (unsigned i = 0; i < SPINS; i++) {
		uint64_t states = level == WIDE_SSE || i % 2 ? 0 : XCR0_SSE_ONLY;

		load(ROUNDS + i);
		if (states)
			wide_set_xcr0(states);
		spin();
		if (states && wide_xcr0() != states)
			return BAD_CONTROL;
		if (states)
			wide_set_xcr0(wide_states());
		if (!are_kept())
			return BAD_TURN;
		if (mxcsr() != control)
			return BAD_CONTROL;
	}
	return ALL_RIGHT;
}

int main(const struct start_info *info)
{
	enum step step;

	if (!guest_on_sluice())
		return NOT_SLUICE;
	seed = *(const unsigned char *)(uintptr_t)info->command_line;
	step = check_fresh();
	print_value("vectors level", level);
	fill(0, 1);
	fill(2, 2);
	if (!step)
		step = check_turns();
	if (!step)
		step = check_exits();
	if (!step)
		step = use_pool(0);
	if (!step)
		step = use_pool(TMEM_POOL_PERSISTENT);
	print_value("vectors ended", step);
	return (int)step;
}
