/*
 * What files of the tmem engine ask their host for where there is no store: pages of metadata from
 * the C library, zeroed and counted, and copies. For unit tests, the simulator and benches; it
 * defines these functions, so one file of a program includes it.
 */
#ifndef TESTS_TMEM_METADATA_PAGES_H
#define TESTS_TMEM_METADATA_PAGES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tmem/arena.h"
#include "tmem/port.h"

u64 pages_in_use;
u64 until_failure = ~0UL; /* allocations that still succeed before one fails */

void *metadata_alloc(struct tmem *tmem)
{
	void *page;

	(void)tmem;
	if (until_failure-- == 0)
		return NULL;
	page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	if (!page) {
		perror("a page of metadata");
		abort();
	}
	pages_in_use++;
	return memset(page, 0, PAGE_SIZE);
}

void metadata_free(struct tmem *tmem, void *page)
{
	(void)tmem;
	if (!page || pages_in_use == 0) {
		fprintf(stderr, "a page of metadata is freed that is none\n");
		abort();
	}
	pages_in_use--;
	free(page);
}

void tmem_port_copy(void *to, const void *from)
{
	memcpy(to, from, PAGE_SIZE);
}

#endif
