/*
 * See metadata.h.
 */
#include "tests/unit/tmem_host/metadata.h"

#include "tests/unit/tmem_host/metadata_pages.h"

static u64 random_state;

u64 random_word(void)
{
	u64 z = random_state += 0x9e3779b97f4a7c15UL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

int reset(void **state)
{
	(void)state;
	pages_in_use = 0;
	until_failure = ~0UL;
	random_state = 1;
	return 0;
}
