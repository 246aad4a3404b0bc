/*
 * A guest's look into a window (tests/unit/tmem_host/window.h).
 */
#include "tests/unit/tmem_host/window.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/tmem_host/port.h"

int guest_window_open(struct guest_window *window, struct tmem_client *client, int pool)
{
	window->client = client;
	window->pool = pool;
	return tmem_window_open(client, pool, window->key);
}

static void *page_at(const struct guest_window *window, u64 index)
{
	void *page = NULL;

	if (tmem_window_page(window->client, (u32)window->pool, (u32)index, &page)) {
		fprintf(stderr, "a guest that obeys the rules looks at page %llu of its window\n",
			(unsigned long long)index);
		abort();
	}
	return page;
}

bool guest_surely_lacks(const struct guest_window *window, struct tmem_handle handle)
{
	const struct tmem_filter_header *header = page_at(window, 0);
	u64 sum = tmem_filter_object(window->key, handle.object);
	u64 hash = tmem_filter_hash(sum, handle.index);
	struct tmem_filter_view view;
	const u8 *page;

	if (tmem_filter_is_sampled(header, sum, handle.index) ||
		!tmem_filter_find(header, hash, &view))
		return false;
	page = page_at(window, view.offset / PAGE_SIZE);
	return tmem_filter_line_lacks(
		header, &view, (const u64 *)(page + view.offset % PAGE_SIZE), hash);
}

void guest_windows_step(struct tmem_client *client)
{
	u32 pool, index;
	void *page;

	tmem_window_tick(client);
	if (tmem_window_collect(client, &pool, &index, &page))
		tmem_port_free(page, 0);
}

void guest_windows_settle(struct tmem_client *client)
{
	for (unsigned n = 0; n < 2000; n++)
		guest_windows_step(client);
}
