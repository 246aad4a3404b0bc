/*
 * Preloaded into Bochs, which makes what RDRAND and RDSEED give with rand(), and seeds that with
 * the host's time: here with the number in SLUICE_SEED, so that a run repeats (tools/emulator.py).
 */
#include <stdlib.h>

void srand(unsigned seed)
{
	const char *wanted = getenv("SLUICE_SEED");

	/* glibc's other name for the same. */
	srandom(wanted ? (unsigned)strtoul(wanted, NULL, 10) : seed);
}
