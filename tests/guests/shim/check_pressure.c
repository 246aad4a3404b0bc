/*
 * More memory than there is: every page must come back as it was written, from wherever it went,
 * while files are read beside it and the processor's vector registers hold values across faults.
 */
#include <stdio.h>
#include <stdlib.h>

#include "guest-shim/shim.h"
#include "selftest.h"

static uint64_t (*memory)[PAGE_WORDS];
static uint32_t *versions; /* of each page's content; 0: never written, so zeros */

static uint64_t seed_of(unsigned page)
{
	return (uint64_t)versions[page] << 32 | page;
}

static void page_write(unsigned page)
{
	versions[page]++;
	for (unsigned i = 0; i < PAGE_WORDS; i++)
		memory[page][i] = pattern_word(seed_of(page), i);
}

static bool page_is_right(unsigned page)
{
	for (unsigned i = 0; i < PAGE_WORDS; i++) {
		if (memory[page][i] != (versions[page] ? pattern_word(seed_of(page), i) : 0))
			return false;
	}
	return true;
}

/* A sum kept in vector registers while each access may fault, against one of integers. */
static void check_vector_registers(unsigned pages)
{
	double sum = 0;
	uint64_t exact = 0;

	for (unsigned i = 0; i < 200; i++) {
		unsigned page = (unsigned)(random_next() % pages);
		uint64_t low = memory[page][i] & 0xffff;

		sum += (double)low;
		exact += low;
	}
	CHECK((uint64_t)sum == exact);
}

/* Four steps in five fall on a fifth of the pages, as in programs. */
static unsigned page_choose(unsigned pages)
{
	return (unsigned)(random_next() % 5 ? random_next() % (pages / 5) : random_next() % pages);
}

/* While hardly a file page is left in memory, copies from files fault on the receiving side: what
 * is being copied must not be what leaves. */
static void check_copies(unsigned pages)
{
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned page = 0; page < pages; page++)
			CHECK(memory[page][round] ==
				(versions[page] ? pattern_word(seed_of(page), round) : 0));
		for (unsigned copy = 0; copy < 20; copy++) {
			unsigned page = copy * (pages / 20);

			check_file_copy(memory[page]);
			page_write(page);
		}
	}
}

void check_pressure(unsigned pages, unsigned rounds, unsigned seconds)
{
	uint64_t end = shim_time_ns() + seconds * 1000000000ull;

	memory = shim_alloc_anonymous((size_t)pages * PAGE_BYTES);
	versions = calloc(pages, sizeof(*versions));
	CHECK(memory && versions);
	if (!memory || !versions)
		return;
	/* Every seventh page stays unwritten. */
	for (unsigned page = 0; page < pages; page++) {
		if (page % 7)
			page_write(page);
	}
	for (unsigned round = 0; round < rounds || shim_time_ns() < end; round++) {
		unsigned page = page_choose(pages);

		CHECK(page_is_right(page));
		if (random_next() % 3 == 0 && page % 7)
			page_write(page);
		if (random_next() % 8 == 0)
			check_file_somewhere();
		if (random_next() % 256 == 0)
			check_vector_registers(pages);
	}
	check_copies(pages);
	for (unsigned page = 0; page < pages; page++)
		CHECK(page_is_right(page));
	check_files();
}
