/*
 * The windows of miss filters, for whoever hosts the engine: which page stands where, and which
 * pages have to go. The host shows them to the guest read-only, at places of its choice, and never
 * lets a guest see a page after its frame has become something else.
 *
 * Locking is the engine's own, but tmem_window_page() and tmem_window_collect() may be called with
 * a lock of the host held that ranks above the client's, so that what they say is still true when
 * the host acts on it.
 */
#ifndef TMEM_WINDOW_H
#define TMEM_WINDOW_H

#include <abi/filter.h>

#include "tmem/tmem.h"

/* Pages of one pool's window. */
#define TMEM_WINDOW_PAGES 65536U

/* Opens the filter of @pool, or finds it open. 0 and its @key; -EBADF; -EINVAL: it is shared;
 * -EAGAIN while pages of an earlier pool of that number are left to collect; -ENOMEM. */
int tmem_window_open(struct tmem_client *client, s64 pool, u64 key[TMEM_FILTER_KEY_WORDS]);

/* The page at place @index of the window, in *@page. -ENOENT: not there any more, but a reader who
 * was slow may still look at it, and must find ones; -EFAULT: there never was one. */
int tmem_window_page(struct tmem_client *client, u32 pool, u32 index, void **page);

/*
 * Takes a page out that has left a window, filled with ones: the host takes it out of the guest's
 * sight, and gives it back to the port when no processor can see it any more. False if there is
 * none.
 */
bool tmem_window_collect(struct tmem_client *client, u32 *pool, u32 *index, void **page);

/* A bounded step of what is due without any put: called at a steady pace. */
void tmem_window_tick(struct tmem_client *client);

/* The client is going: all pages of its windows wait for tmem_window_collect(). No other call for
 * it may follow but that one and tmem_client_destroy(). */
void tmem_window_close_all(struct tmem_client *client);

#endif
