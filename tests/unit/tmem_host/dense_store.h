/*
 * One client with pool 0, an ephemeral one, and pool 1, a persistent one, both with modes that save
 * frames: for tests of pages that need no frame of their own.
 */
#ifndef TESTS_TMEM_DENSE_STORE_H
#define TESTS_TMEM_DENSE_STORE_H

#include "tests/unit/tmem_host/store.h"

extern struct tmem *tmem;
extern struct tmem_client *client;

/* A store as by store_create(); @modes: TMEM_MODE_* of both pools. */
void start(u64 memory_pages, u64 max_pages, u8 modes);
/* Audits and frees all; nothing may be left. */
void finish(void);
/* Frames that the store holds. */
u64 frames(void);

#endif
