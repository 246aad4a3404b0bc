/*
 * The guest's side of tmem: one ephemeral pool for clean file pages (precache), one persistent pool
 * for anonymous ones (preswap). Where the hypervisor offers no tmem, or the command line forbids
 * it, every put is refused and every get misses, without a hypercall.
 */
#ifndef SHIM_TMEM_CLIENT_H
#define SHIM_TMEM_CLIENT_H

#include "lib/types.h"

void tmem_client_init(bool precache, bool preswap);

bool precache_is_on(void);
bool preswap_is_on(void);

/* The page in @frame leaves the page cache: true if a copy was stored under @page. */
bool precache_put(u32 page, u32 frame);

/* Fills @frame with page @page of the image if precache still has it; it then has it no more. */
bool precache_get(u32 page, u32 frame);

/* True if the hypervisor now keeps the only copy of anonymous page @page. */
bool preswap_put(u32 page, u32 frame);

/* Fills @frame and flushes the hypervisor's copy. Panics if there is none, since that breaks tmem's
 * word. */
void preswap_get(u32 page, u32 frame);

/* Forgets the copy of @page; there need not be one. */
void preswap_flush(u32 page);

#endif
