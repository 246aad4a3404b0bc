/*
 * What a guest sees of a pool's miss filter, in hosted tests: the window's pages stand anywhere, so
 * each is looked up where a guest would use its page tables.
 */
#ifndef TESTS_TMEM_WINDOW_H
#define TESTS_TMEM_WINDOW_H

#include "tmem/window.h"

struct guest_window {
	struct tmem_client *client;
	int pool;
	u64 key[TMEM_FILTER_KEY_WORDS];
};

/* The filter of @pool; the error of tmem_window_open(). */
int guest_window_open(struct guest_window *window, struct tmem_client *client, int pool);
/* Whether the guest takes the page of @handle for surely absent. */
bool guest_surely_lacks(const struct guest_window *window, struct tmem_handle handle);
/* A step of what is due without puts, and a page back to the port. */
void guest_windows_step(struct tmem_client *client);
/* Everything that is due without puts, and pages back to the port. */
void guest_windows_settle(struct tmem_client *client);

#endif
