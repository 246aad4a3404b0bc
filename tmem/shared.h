/*
 * Shared pools, as the other files see them (tmem/shared.c): a guest's pool may be no more than a
 * seat at one.
 */
#ifndef TMEM_SHARED_H
#define TMEM_SHARED_H

#include "tmem/client.h"

/* The operations on shared pools (tmem/shared.c). No lock is held. */
int shared_put(struct tmem_client *client, const struct tmem_handle *handle, const void *page);
int shared_get(struct tmem_client *client, const struct tmem_handle *handle, void *page);
int shared_flush_page(struct tmem_client *client, const struct tmem_handle *handle);
int shared_flush_object(struct tmem_client *client, const struct tmem_handle *handle);
/* Gives @client a seat with pool id @id (-1: any) at the pool with @uuid, which is made if it is
 * the first. The id; -EINVAL without a grant, -EBUSY if it has one already, -ENOSPC, -ENOMEM. */
int shared_join(struct tmem_client *client, int id, const u64 uuid[2]);
/* Gives up the seat with this id; the last one to go takes the pool along, in steps: -EAGAIN. */
int shared_leave(struct tmem_client *client, u32 id);
/* Pages and evictions of the pool at which @seat is. */
void shared_counts(const struct seat *seat, u64 *pages, u64 *evictions);

#endif
