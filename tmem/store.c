/*
 * The store comes and goes, and what is told of it as a whole (tmem/tmem.h).
 */
#include "tmem/client.h"

#include <string.h>

#include "tmem/dedup.h"

__init struct tmem *tmem_create(const struct tmem_config *config)
{
	/* No lock exists yet that could be held. */
	struct tmem *tmem = tmem_port_alloc(0);
	void *key;

	if (!tmem)
		return NULL;
	memset(tmem, 0, PAGE_SIZE);
	arena_init(tmem, config->max_pages);
	tmem->keys_only = config->keys_only;
	key = metadata_alloc(tmem);
	if (!key) {
		tmem_port_free(tmem, 0);
		return NULL;
	}
	content_key_init(&tmem->content_key, key);
	tmem_port_lock_init(&tmem->sharers, TMEM_LOCK_SHARERS);
	return tmem;
}

void tmem_destroy(struct tmem *tmem)
{
	for (unsigned number = 0; number < TMEM_CLIENTS; number++)
		if (tmem->clients[number])
			metadata_free(tmem, tmem->clients[number]);
	tmem->client_count = 0;
	dedup_destroy(tmem);
	metadata_free(tmem, tmem->content_key.words);
	arena_destroy(tmem);
	tmem_port_free(tmem, 0);
}

u64 tmem_persistent_held(const struct tmem *tmem)
{
	return READ_ONCE(tmem->persistent_held);
}

void tmem_stats(const struct tmem *tmem, struct tmem_stats *stats)
{
	struct tmem *locked = (struct tmem *)tmem;

	*stats = (struct tmem_stats){.persistent_pages = tmem_persistent_held(tmem)};
	for (unsigned number = 0; number < TMEM_CLIENTS; number++) {
		const struct tmem_client *client = __atomic_load_n(
			&tmem->clients[number], __ATOMIC_ACQUIRE);

		if (!client)
			continue;
		stats->ephemeral_pages += READ_ONCE(client->stats.ephemeral_pages);
		stats->persistent_pages -= READ_ONCE(client->persistent_excess);
	}
	stats->common_frames = dedup_frames(tmem);
	stats->common_peak = dedup_frames_peak(tmem);
	tmem_port_lock(&locked->arena.lock);
	stats->frames = tmem->arena.frames;
	stats->metadata_bytes = tmem->arena.metadata_pages * PAGE_SIZE;
	tmem_port_unlock(&locked->arena.lock);
}
