/*
 * Short ways to say what the tests of the tmem engine do: one store, a few clients, pages filled
 * from a seed.
 */
#ifndef TESTS_TMEM_STORE_H
#define TESTS_TMEM_STORE_H

#include "lib/types.h"
#include "tmem/tmem.h"

/* Memory of @memory_pages and a store limited to @max_pages (0 = not). */
struct tmem *store_create(u64 memory_pages, u64 max_pages);
/* TMEM_MODE_* of new clients. */
extern u8 store_modes;
/* Of new clients: 0 for first in, first out. */
extern u64 store_guest_pages;
struct tmem_client *store_client(struct tmem *tmem, u32 weight, u64 persistent_max);
/* With pool 0, of these TMEM_POOL_*. */
struct tmem_client *store_client_with_pool(struct tmem *tmem, u64 flags);
/* To the end, however many steps it takes. */
void store_end_client(struct tmem_client *client);
/* Destroys the store; the number of pages it still has. */
u64 store_end(struct tmem *tmem);
/* The same where it must have none, and nobody complained. */
void store_finish(struct tmem *tmem);
/* The audit: 0 and every page in use was visited once, else -1. */
int store_audit(struct tmem *tmem);

struct tmem_handle handle_of(int pool, u64 object, u32 index);
/* A put of a page filled from @seed, a get that compares: 0, 1 if the contents are wrong, or the
 * errno. */
int put_seed(struct tmem_client *client, struct tmem_handle handle, u64 seed);
int get_seed(struct tmem_client *client, struct tmem_handle handle, u64 seed);

struct tmem_client_stats stats_of(const struct tmem_client *client);
u64 ephemeral_pages(const struct tmem_client *client);
u64 persistent_pages(const struct tmem_client *client);

#endif
