/*
 * The honest guest beside the hostile ones: hypercalls, memory of its own and the console, for long
 * enough that the others do their worst meanwhile.
 */
#include "acts.h"

#define ROUNDS     200
#define CALLS      100
#define FIRST_PAGE MIB(4)
#define LAST_PAGE  MIB(6)

static uint64_t pattern(uint64_t address, unsigned round)
{
	return (address ^ 0x6a09e667f3bcc908) * (2 * round + 1);
}

uint64_t act_honest(void)
{
	CHECK(ram_end(start_info) >= LAST_PAGE);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (uint64_t a = FIRST_PAGE; a < LAST_PAGE; a += 64)
			*(volatile uint64_t *)a = pattern(a, round);
		for (unsigned i = 0; i < CALLS; i++)
			CHECK(hypercall0(HYPERCALL_NULL) == 0);
		for (uint64_t a = FIRST_PAGE; a < LAST_PAGE; a += 64)
			CHECK(*(volatile uint64_t *)a == pattern(a, round));
	}
	return 0;
}
