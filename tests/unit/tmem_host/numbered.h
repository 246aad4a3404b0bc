/*
 * One store of so many frames, and clients with one pool each, whose pages have numbers: for tests
 * of who gives up what.
 */
#ifndef TESTS_TMEM_NUMBERED_H
#define TESTS_TMEM_NUMBERED_H

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tmem/client.h"

extern struct tmem *tmem;

/* The store: of @frames frames in eight times the memory. */
void start(u64 frames);
/* A client in these TMEM_MODE_*, with pool 0 of this kind. */
struct tmem_client *join(u8 modes, u64 pool_flags);
/* Audits, and ends all; @second may be NULL. */
void finish(struct tmem_client *first, struct tmem_client *second);

/* In pool 0. */
struct tmem_handle page(u64 number);
/* Puts pages of @kind from number 0 on until one is refused, at most @max; how many were stored. */
u64 fill(struct tmem_client *client, enum host_page_kind kind, u64 max);

/* Frames of the store. */
u64 frames(void);
/* One call for up to 32 frames, which go back to the host; how many there were. */
unsigned reclaim(void);

#endif
