/*
 * A pack of its own in an empty store, and what was stored in it by number: for tests of where
 * fragments lie.
 */
#ifndef TESTS_TMEM_ONE_PACK_H
#define TESTS_TMEM_ONE_PACK_H

#include "lib/types.h"
#include "tmem/pack.h"
#include "tmem/pack_run.h"

#define PAGES 20000U

extern struct tmem *tmem;
extern struct pack pack;
/* Of the fragments by number, 0 = none; the first @pages of them are used. */
extern u32 ids[PAGES], pages;
extern u64 seed; /* of host_random() */
extern u8 data[PAGE_SIZE];

/* Memory of @memory_pages, room for @count numbers. */
void start(u64 memory_pages, u32 count);
/* Audits and frees all; nothing may be left. */
void finish(void);
/* Fragment @i of @mean bytes, give or take @spread at random. */
void store_one(u32 i, u32 mean, u32 spread);
/* For the audit. */
void visit_nothing(void *page, void *argument);

#endif
