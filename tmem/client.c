/*
 * Clients come and go (tmem/client.h). Their structures stay with the store, and are taken again.
 */
#include "tmem/client.h"

#include <string.h>

#include <abi/errno.h>

#include "tmem/aging.h"
#include "tmem/client_slots.h"
#include "tmem/dedup.h"
#include "tmem/dense.h"
#include "tmem/page_list.h"

/* A structure with this number out of a page. Arena lock. */
static struct tmem_client *make_structure(struct tmem *tmem, u8 number, void *page)
{
	struct tmem_client *client = page;

	client->number = number;
	client->tmem = tmem;
	for (u32 id = 0; id < TMEM_POOLS_PER_GUEST; id++)
		client_set_pool(client, id, NULL);
	tmem_port_lock_init(&client->lock, TMEM_LOCK_CLIENT);
	__atomic_store_n(&tmem->clients[number], client, __ATOMIC_RELEASE);
	WRITE_ONCE(tmem->client_count, number + 1U);
	return client;
}

/* Structures stay with the store, so that evictions may always look at them. One is taken while it
 * has a weight. Neither guests nor shared pools can use up what is the others'. */
struct tmem_client *client_claim(struct tmem *tmem, u32 weight, bool is_owner)
{
	struct tmem_client *client = NULL;
	void *page = metadata_alloc(tmem);
	u8 number = 0;

	tmem_port_lock(&tmem->arena.lock);
	while (number < TMEM_CLIENTS && tmem->clients[number] &&
		READ_ONCE(tmem->clients[number]->weight))
		number++;
	if (tmem->claimed[is_owner] < TMEM_CLIENTS / 2) {
		client = tmem->clients[number];
		if (!client && page) {
			client = make_structure(tmem, number, page);
			page = NULL;
		}
	}
	if (client) {
		WRITE_ONCE(client->weight, weight);
		client->is_owner = is_owner;
		tmem->claimed[is_owner]++;
	}
	tmem_port_unlock(&tmem->arena.lock);
	if (page)
		metadata_free(tmem, page);
	return client;
}

/* The structure may be claimed again. */
static void free_client(struct tmem_client *client)
{
	struct tmem *tmem = client->tmem;

	tmem_port_lock(&tmem->arena.lock);
	WRITE_ONCE(client->weight, 0);
	tmem->claimed[client->is_owner]--;
	tmem_port_unlock(&tmem->arena.lock);
}

struct tmem_client *tmem_client_create(struct tmem *tmem, const struct tmem_client_config *config)
{
	u32 weight = config->weight ? MIN(config->weight, TMEM_WEIGHT_MAX) : 1;
	struct tmem_client *client = client_claim(tmem, weight, false);

	return client && !client_begin(client, config) ? client : NULL;
}

/* All but the number of ephemeral pages, which is 0 since the last client ended: evictions of
 * others read it at any time. */
static void clear_stats(struct tmem_client_stats *stats)
{
	const u64 before = offsetof(struct tmem_client_stats, ephemeral_pages);
	const u64 after = before + sizeof(stats->ephemeral_pages);

	memset(stats, 0, before);
	memset((u8 *)stats + after, 0, sizeof(*stats) - after);
}

int client_begin(struct tmem_client *client, const struct tmem_client_config *config)
{
	client_lock(client);
	client->persistent_max = config->persistent_max;
	client->ephemeral_max = config->ephemeral_max ? config->ephemeral_max : TMEM_UNLIMITED;
	client->shared_count = MIN(config->shared_count, TMEM_SHARED_MAX);
	for (u32 i = 0; i < client->shared_count; i++)
		client->shared[i] = config->shared[i];
	client->frozen = false;
	WRITE_ONCE(client->sharers, 0);
	client->life++;
	memset(&client->restore, 0, sizeof(client->restore));
	memcpy(client->hash_keys, config->hash_keys, sizeof(client->hash_keys));
	clear_stats(&client->stats);
	memset(client->past, 0, sizeof(client->past));
	client->sample_threshold = config->sample_threshold;
	client->owner = config->owner;
	client->private_puts = client->private_gets = 0;
	client->pools_end = 0;
	page_list_init(&client->lists[QUEUE_SMALL], SLOT_QUEUED);
	page_list_init(&client->lists[QUEUE_MAIN], SLOT_QUEUED_MAIN);
	page_list_init(&client->lists[LIST_CHEAP], SLOT_QUEUED_CHEAP);
	page_list_init(&client->lists[LIST_FILLED], SLOT_QUEUED_FILLED);
	client->main_pages = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(client->aside_pages); i++)
		WRITE_ONCE(client->aside_pages[i], 0);
	WRITE_ONCE(client->half.number, HALF_NONE);
	client->modes[EPHEMERAL] = config->ephemeral_modes;
	client->modes[PERSISTENT] = config->persistent_modes;
	WRITE_ONCE(client->group,
		config->dedup_group ? dedup_get(client->tmem, config->dedup_group) : NULL);
	if (!client->tmem->keys_only &&
		(((config->ephemeral_modes | config->persistent_modes) && dense_create(client)) ||
			(config->dedup_group && !client->group) ||
			(config->guest_pages && aging_create(client, config->guest_pages)))) {
		dense_destroy(client);
		client_unlock(client);
		free_client(client);
		return -SLUICE_ENOMEM;
	}
	client->alive = true;
	client_unlock(client);
	return 0;
}

void client_end(struct tmem_client *client)
{
	client_filters_destroy(client);
	client_give_all_slots(client);
	dense_destroy(client);
	aging_destroy(client);
	client->alive = false;
	client_unlock(client);
	free_client(client);
}

int tmem_client_destroy(struct tmem_client *client)
{
	int result = client_drop_pools(client);

	if (result)
		return result;
	client_lock(client);
	client_end(client);
	return 0;
}
