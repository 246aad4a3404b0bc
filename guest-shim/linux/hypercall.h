/*
 * The tmem hypercalls (abi/hypercall.h) for Linux, and whether Sluice is there to serve them. They
 * may be made in any context, and do not sleep.
 */
#ifndef LINUX_HYPERCALL_H
#define LINUX_HYPERCALL_H

#include <linux/mm_types.h>
#include <linux/types.h>

#include "preswap.h"

/* 0 if this is a guest of Sluice with tmem; else -ENODEV, after saying in the log what is missing.
 * Comes before all other calls. */
int __must_check hypercall_init(void);

/* A private persistent pool: its number from 0 on, or a negative errno. */
long __must_check tmem_pool_new(void);
/* Frees all pages of @pool. 0 or a negative errno. */
long __must_check tmem_pool_destroy(int pool);

/* 0: a copy of @content is stored. */
long __must_check tmem_put(const struct preswap_key *key, struct page *content);
/* 0: @content is what was put last, and the copy stays. -ENOENT: there is none. */
long __must_check tmem_get(const struct preswap_key *key, struct page *content);
/* 0, whether there was a copy or not. */
long __must_check tmem_flush(const struct preswap_key *key);

#endif
