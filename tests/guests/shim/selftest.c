/*
 * The shim's self-test guest. Arguments:
 *
 * - pages=N rounds=N: how much anonymous memory, and how many random steps through it and the files
 * - seconds=N: at least so long, whatever the rounds
 * - hoard=N: first fill so many pages and forget them, so that the guest has the frames
 * - waves=N: do so N times (once without), with rest=MS after each
 * - threads=on: a thread works on the second vCPU meanwhile; threads=heap: one that does what it
 * must not
 * - expect=tmem: most pages that leave must be taken by tmem; expect=disk: none may
 *   be; expect=nothing: memory may well suffice
 *
 * Ends with 0 if every check held.
 */
#include "selftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-shim/shim.h"

#define FAILURES_PRINTED 20

static unsigned failures;
static uint64_t random_state = 0x2545f4914f6cdd1d;

void check_failed(const char *file, int line, const char *condition)
{
	if (failures++ < FAILURES_PRINTED)
		printf("FAILED %s:%d: %s\n", file, line, condition);
}

uint64_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1d;
}

uint64_t pattern_word(uint64_t seed, uint64_t index)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15 + index + 1;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* That what was to be tested did happen. */
static void check_paths_taken(const char *expect)
{
	struct shim_statistics s;

	if (!strcmp(expect, "nothing"))
		return;
	shim_statistics(&s);
	CHECK(s.cache_misses > s.first_reads);
	CHECK(s.disk_reads + s.precache_hits == s.cache_misses);
	CHECK(s.swap_writes + s.preswap_puts > 0);
	if (!strcmp(expect, "tmem")) {
		CHECK(s.precache_hits > 0);
		CHECK(s.preswap_hits > 0);
		CHECK(s.preswap_puts > s.swap_writes);
	}
	if (!strcmp(expect, "disk")) {
		CHECK(s.precache_puts == 0);
		CHECK(s.preswap_puts == 0);
		CHECK(s.swap_reads > 0);
		CHECK(s.disk_reads > s.first_reads);
	}
}

/* Two words a page, so that what was lost, or went elsewhere, is noticed; before, it is zeros. */
static void fill_and_forget(uint64_t (*memory)[PAGE_WORDS], unsigned pages, unsigned wave)
{
	unsigned wrong = 0;

	for (unsigned page = 0; page < pages; page++) {
		wrong += memory[page][0] || memory[page][PAGE_WORDS - 1];
		memory[page][0] = pattern_word(wave, page);
		memory[page][PAGE_WORDS - 1] = ~pattern_word(wave, page);
	}
	for (unsigned page = 0; page < pages; page++)
		wrong += memory[page][0] != pattern_word(wave, page) ||
			 memory[page][PAGE_WORDS - 1] != ~pattern_word(wave, page);
	CHECK(wrong == 0);
	shim_discard_anonymous(memory, (size_t)pages * PAGE_BYTES);
}

static void hoard(unsigned pages, unsigned waves, unsigned rest_ms)
{
	uint64_t(*memory)[PAGE_WORDS];

	if (!pages)
		return;
	memory = shim_alloc_anonymous((size_t)pages * PAGE_BYTES);
	CHECK(memory);
	if (!memory)
		return;
	for (unsigned wave = 0; wave < waves; wave++) {
		fill_and_forget(memory, pages, wave);
		shim_sleep_until(shim_time_ns() + rest_ms * 1000000ull);
	}
	printf("selftest: hoards\n");
}

int main(int argc, char **argv)
{
	unsigned pages = 6000, rounds = 20000, seconds = 0, hoarded = 0;
	unsigned waves = 1, rest_ms = 0;
	const char *expect = "any";
	bool threads = false;

	for (int i = 1; i < argc; i++) {
		if (!strncmp(argv[i], "pages=", 6))
			pages = (unsigned)strtoul(argv[i] + 6, NULL, 10);
		else if (!strncmp(argv[i], "rounds=", 7))
			rounds = (unsigned)strtoul(argv[i] + 7, NULL, 10);
		else if (!strncmp(argv[i], "seconds=", 8))
			seconds = (unsigned)strtoul(argv[i] + 8, NULL, 10);
		else if (!strncmp(argv[i], "hoard=", 6))
			hoarded = (unsigned)strtoul(argv[i] + 6, NULL, 10);
		else if (!strncmp(argv[i], "waves=", 6))
			waves = (unsigned)strtoul(argv[i] + 6, NULL, 10);
		else if (!strncmp(argv[i], "rest=", 5))
			rest_ms = (unsigned)strtoul(argv[i] + 5, NULL, 10);
		else if (!strncmp(argv[i], "expect=", 7))
			expect = argv[i] + 7;
		else if (!strcmp(argv[i], "threads=on"))
			threads = true;
		else if (!strcmp(argv[i], "threads=heap"))
			check_thread_on_heap();
	}
	hoard(hoarded, waves, rest_ms);
	check_files();
	check_library();
	if (threads)
		check_threads(pages, rounds);
	else
		check_pressure(pages, rounds, seconds);
	check_paths_taken(expect);
	printf("selftest: %u failures\n", failures);
	return failures != 0;
}
