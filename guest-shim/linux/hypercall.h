/*
 * The tmem hypercalls (abi/hypercall.h) for Linux, and whether Sluice is there to serve them. They
 * may be made in any context, and do not sleep.
 */
#ifndef LINUX_HYPERCALL_H
#define LINUX_HYPERCALL_H

#include <linux/mm_types.h>
#include <linux/types.h>

#include "tmem_key.h"

/* 0 if this is a guest of Sluice with tmem; else -ENODEV, after saying in the log what is missing.
 * Comes before all other calls. */
int __must_check hypercall_init(void);

/* A private pool, persistent (TMEM_POOL_PERSISTENT) or ephemeral (0): its number from 0 on, or a
 * negative errno. */
long __must_check tmem_pool_new(u32 flags);
/* Frees all pages of @pool. 0 or a negative errno. */
long __must_check tmem_pool_destroy(int pool);

/* 0: a copy of @content is stored. */
long __must_check tmem_put(const struct tmem_key *key, struct page *content);
/* 0: @content is what was put last; the copy stays if the pool is persistent. -ENOENT: there is
 * none. */
long __must_check tmem_get(const struct tmem_key *key, struct page *content);
/* Makes of @entry a call @op (HYPERCALL_TMEM_PUT, _GET, _FLUSH_PAGE) for @key; a flush has no
 * content. */
void tmem_batch_set(
	struct tmem_batch_entry *entry, u32 op, const struct tmem_key *key, struct page *content);
/* Makes @count calls, at most TMEM_BATCH_MAX, by one exit where that can be. @entries are aligned
 * to 64 bytes and in memory that is one range of frames. Each entry has its result then. */
void tmem_batch(struct tmem_batch_entry *entries, unsigned int count);

#endif
