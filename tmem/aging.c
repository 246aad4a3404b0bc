/*
 * What is remembered of a client's pages, and what follows from it (tmem/aging.h).
 */
#include "tmem/aging.h"

#include <abi/errno.h>

#include "tmem/index.h"

COLD int aging_create(struct tmem_client *client, u64 guest_pages)
{
	struct aging *aging = metadata_alloc(client->tmem);

	if (!aging)
		return -SLUICE_ENOMEM;
	history_init(&aging->history);
	queues_init(&aging->queues);
	aging->guest_pages = guest_pages;
	client->aging = aging;
	return 0;
}

COLD void aging_destroy(struct tmem_client *client)
{
	struct aging *aging = client->aging;

	if (!aging)
		return;
	client->aging = NULL;
	history_destroy(client->tmem, &aging->history);
	queues_destroy(client->tmem, &aging->queues);
	metadata_free(client->tmem, aging);
}

u64 aging_hash_at(const struct pool *pool, const struct position *position)
{
	return aging_hash(pool, pool_sum_at(pool, position), pool_index_at(pool, position));
}

void aging_fit_now(struct tmem_client *client)
{
	struct aging *aging = client->aging;
	u64 pages = client->stats.ephemeral_pages;

	history_adjust(client->tmem, &aging->history, pages + aging->guest_pages);
	queues_adjust(client->tmem, &aging->queues, pages);
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++) {
		struct pool *pool = client->pools[id];

		if (!pool)
			continue;
		pool->own_sample = aging->queues.sampled;
		pool_set_lock_upto(pool);
	}
}

enum queue aging_victim(const struct tmem_client *client)
{
	u64 main = client->main_pages, small = client_ordinary_pages(client) - main;

	if (!client->aging)
		return small ? QUEUE_SMALL : QUEUE_MAIN;
	return queues_victim(&client->aging->queues, small, main);
}

COLD void aging_visit(
	const struct aging *aging, void (*visit)(void *page, void *argument), void *argument)
{
	history_visit(&aging->history, visit, argument);
	queues_visit(&aging->queues, visit, argument);
	visit((void *)aging, argument);
}
