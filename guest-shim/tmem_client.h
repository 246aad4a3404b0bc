/*
 * The guest's side of tmem: one ephemeral pool for clean file pages (precache), one persistent pool
 * for anonymous ones (preswap). Where the hypervisor offers no tmem, or the command line forbids
 * it, every put is refused and every get misses, without a hypercall.
 */
#ifndef SHIM_TMEM_CLIENT_H
#define SHIM_TMEM_CLIENT_H

#include "lib/types.h"

/* Creates the pools. With @filter, and where the hypervisor offers it, precache is not asked for
 * what its miss filter knows to be absent. */
void tmem_client_init(bool precache, bool preswap, bool filter);

/* Whether there are pools of these kinds. */
bool precache_is_on(void);
bool preswap_is_on(void);

/*
 * The page in @frame, page @page of the image, leaves the page cache, and is put with others at
 * once: @left is told of each frame, and whether a copy was stored. Before precache_put_now() at
 * most TMEM_BATCH_MAX pages may leave, their frames must stay as they are, and nothing else may be
 * done with tmem but preswap_put().
 */
void precache_put_soon(u32 page, u32 frame);
u32 precache_puts_pending(void);
void precache_put_now(void (*left)(u32 frame, bool stored));

/* Fills @frame with page @page of the image if precache still has it; it then has it no more. */
bool precache_get(u32 page, u32 frame);

/* True if the hypervisor now keeps the only copy of anonymous page @page. */
bool preswap_put(u32 page, u32 frame);

/* Fills @frame and flushes the hypervisor's copy. Panics if there is none, since that breaks tmem's
 * word. */
void preswap_get(u32 page, u32 frame);
/* Asks for a page that preswap refused, before it is read from the swap disk into @frame: it cannot
 * be there, but so the hypervisor learns that it was wanted again. */
void preswap_ask(u32 page, u32 frame);

/* Forgets the copy of @page; there need not be one. It may happen as late as preswap_flush_now(),
 * before which nothing else may be done with preswap. */
void preswap_flush_soon(u32 page);
void preswap_flush_now(void);

#endif
