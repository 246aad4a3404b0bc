/*
 * Metadata without a store, for tests of one structure of the tmem engine: its pages are those
 * of metadata_pages.h.
 */
#ifndef TESTS_TMEM_METADATA_H
#define TESTS_TMEM_METADATA_H

#include "lib/types.h"

extern u64 pages_in_use;
extern u64 until_failure; /* allocations that still succeed before one fails */

/* The same words after each reset(). */
u64 random_word(void);
/* A setup function of cmocka's. */
int reset(void **state);

#endif
