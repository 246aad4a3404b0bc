/*
 * See metadata.h.
 */
#include "tests/unit/tmem_host/metadata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tmem/arena.h"

u64 pages_in_use;
u64 until_failure = ~0UL;
static u64 random_state;

void *metadata_alloc(struct tmem *tmem)
{
	void *page;

	(void)tmem;
	if (until_failure-- == 0)
		return NULL;
	page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	assert_non_null(page);
	pages_in_use++;
	return memset(page, 0, PAGE_SIZE);
}

void metadata_free(struct tmem *tmem, void *page)
{
	(void)tmem;
	assert_non_null(page);
	assert_true(pages_in_use > 0);
	pages_in_use--;
	free(page);
}

void tmem_port_copy(void *to, const void *from)
{
	memcpy(to, from, PAGE_SIZE);
}

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
