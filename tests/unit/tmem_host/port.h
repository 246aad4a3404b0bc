/*
 * A host for the tmem engine in a test: frames out of one reservation, each known to be free or in
 * use, and allocations that fail when the test says so.
 */
#ifndef TESTS_TMEM_PORT_H
#define TESTS_TMEM_PORT_H

#include "lib/types.h"
#include "tmem/port.h"

/* Memory of @pages pages (a multiple of 512). Everything that was handed out is forgotten. */
void host_memory_init(u64 pages);
void host_memory_exit(void);

u64 host_pages_in_use(void);
bool host_page_is_in_use(const void *page);

/* How many further allocations succeed (then one fails, and all after it succeed); ~0 = all. */
extern u64 host_allocations_until_failure;
/* Whether blocks of 2 MiB can be had. */
extern bool host_blocks_available;
/* At most this many pages in use; what is beyond fails. */
extern u64 host_pages_max;
/* Persistent pages that tmem_port_persistent_ok() allows. */
extern u64 host_persistent_max;
extern u64 host_complaints;
/* What tmem_port_complain() said last. */
extern char host_last_complaint[256];
/* Whether tmem_port_free_later() waits until host_free_deferred(), which may be called when no
 * other thread is in the engine. */
extern bool host_frees_are_deferred;
void host_free_deferred(void);
/* Called before each copy, NULL = nothing: a guest that writes while a put runs. */
extern void (*host_copy_hook)(void *to, const void *from);

/* Called after a client's lock was released, NULL = nothing: another CPU that comes just then. */
extern void (*host_unlock_hook)(void);

/* What tmem_port_sampled() is called with goes on to this, NULL = nowhere. */
extern void (*host_sampled_hook)(
	void *owner, enum tmem_event event, const struct tmem_sample *sample);

/* Fills @page from @seed, whose upper byte is a kind of page; says whether it holds just that. */
#define HOST_KIND_SHIFT 56
enum host_page_kind {
	HOST_PAGE_RANDOM,
	HOST_PAGE_FILLED,       /* zeros, or another word */
	HOST_PAGE_REPEATED,     /* one of eight pages */
	HOST_PAGE_COMPRESSIBLE, /* to a third or so */
	HOST_PAGE_KINDS
};
#define KIND(kind, seed) ((u64)(kind) << HOST_KIND_SHIFT | (seed))
void host_fill_page(void *page, u64 seed);
bool host_page_holds(const void *page, u64 seed);

/* A small fast generator with the state in @state. */
u64 host_random(u64 *state);

#endif
