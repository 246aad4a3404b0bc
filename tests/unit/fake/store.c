/*
 * A tmem store that is a bag of frames, for tests that plant what a real one would never hold.
 */
#include "fake/store.h"

#include <stdlib.h>

#include <abi/errno.h>

#include "kernel/vm/tmem_port.h"
#include "lib/types.h"
#include "tmem/window.h"

struct tmem {
	void *pages[65536];
	unsigned count;
};

static struct tmem store;
u64 fake_store_persistent;
int fake_store_verdict;

void fake_store_reset(bool present)
{
	store.count = 0;
	tmem_store = present ? &store : NULL;
	fake_store_persistent = 0;
	fake_store_verdict = 0;
}

void fake_store_add(void *page)
{
	if (store.count == ARRAY_SIZE(store.pages))
		abort();
	store.pages[store.count++] = page;
}

unsigned tmem_reclaim(struct tmem *tmem, void **pages, unsigned max)
{
	unsigned count = 0;

	while (count < max && tmem->count > 0)
		pages[count++] = tmem->pages[--tmem->count];
	return count;
}

void tmem_stats(const struct tmem *tmem, struct tmem_stats *stats)
{
	*stats = (struct tmem_stats){.frames = tmem->count};
}

u64 tmem_persistent_held(const struct tmem *tmem)
{
	(void)tmem;
	return fake_store_persistent;
}

int tmem_audit(struct tmem *tmem, void (*visit)(void *page, void *argument), void *argument)
{
	for (unsigned i = 0; i < tmem->count; i++)
		visit(tmem->pages[i], argument);
	return fake_store_verdict;
}

/* The fake store has no windows. */
int tmem_window_open(struct tmem_client *client, s64 pool, u64 key[TMEM_FILTER_KEY_WORDS])
{
	(void)client;
	(void)pool;
	(void)key;
	return -SLUICE_EBADF;
}

int tmem_window_page(struct tmem_client *client, u32 pool, u32 index, void **page)
{
	(void)client;
	(void)pool;
	(void)index;
	(void)page;
	return -SLUICE_EFAULT;
}

bool tmem_window_collect(struct tmem_client *client, u32 *pool, u32 *index, void **page)
{
	(void)client;
	(void)pool;
	(void)index;
	(void)page;
	return false;
}

void tmem_window_tick(struct tmem_client *client)
{
	(void)client;
}

void tmem_window_close_all(struct tmem_client *client)
{
	(void)client;
}
