/*
 * The hungry guest: `pages=N seconds=N` reads and writes random pages of so much anonymous memory
 * for so long, a part of which is on swap or in tmem if it has less RAM. Each page holds its number
 * and how often it was written; ends with 0 if none was ever wrong.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "guest-shim/shim.h"

enum end { ALL_RIGHT, BAD_LINE, NO_MEMORY, NOT_KEPT };

#define WORDS 512u

/* The next of the numbers after @state (xorshift: Marsaglia 2003); never 0. */
static uint64_t step(uint64_t state)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^ state << 17;
}

int main(int argc, char **argv)
{
	unsigned pages = 0, seconds = 0;
	uint64_t random = 0x9e3779b97f4a7c15, end;
	uint32_t(*memory)[2 * WORDS];
	uint32_t *writes;

	for (int i = 1; i < argc; i++)
		if (sscanf(argv[i], "pages=%u", &pages) != 1 &&
			sscanf(argv[i], "seconds=%u", &seconds) != 1)
			return BAD_LINE;
	if (!pages || !seconds)
		return BAD_LINE;
	end = shim_time_ns() + seconds * 1000000000ull;
	memory = shim_alloc_anonymous((size_t)pages * sizeof(*memory));
	writes = calloc(pages, sizeof(*writes));
	if (!memory || !writes)
		return NO_MEMORY;
	while (shim_time_ns() < end) {
		unsigned page = (unsigned)(random % pages);
		uint32_t *first = memory[page], *last = first + 2 * WORDS - 1;

		if (*first != (writes[page] ? page : 0) || *last != writes[page])
			return NOT_KEPT;
		*first = page;
		*last = ++writes[page];
		random = step(random);
	}
	return ALL_RIGHT;
}
