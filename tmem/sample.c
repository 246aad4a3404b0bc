/*
 * What the host is told of the pages in the sample (tmem/port.h, tmem_port_sampled()). Which those
 * are is seen on the common paths by pool_samples(); all here is for one key in a hundred or so.
 * The client's lock guards it.
 */
#include <abi/errno.h>

#include "tmem/client.h"
#include "tmem/index.h"

/* Puts that were refused count too, those with an unreachable frame do not. */
static void add_totals(const struct tmem_client *client, struct tmem_sample *sample)
{
	sample->puts = client->private_puts;
	sample->gets = client->private_gets;
	for (unsigned id = 0; id < client->pools_end; id++) {
		const struct pool *pool = client->pools[id];

		if (!pool || pool->shared)
			continue;
		sample->puts += pool->counts.puts + pool->counts.refusals;
		sample->gets += pool_gets(pool);
	}
}

void client_sampled(struct tmem_client *client, const struct pool *pool,
	const struct tmem_handle *handle, enum tmem_event event)
{
	struct tmem_sample sample = {
		.hash = handle_hash(
			client->hash_keys[1], pool_sum_recent(pool, handle->object), handle->index),
	};

	add_totals(client, &sample);
	tmem_port_sampled(client->owner, event, &sample);
}

void client_sample_put(struct tmem_client *client, const struct tmem_handle *handle, int result)
{
	const struct pool *pool = named_pool(client, handle->pool);

	if (!pool || !pool->sample_threshold || result == POOL_IS_SHARED ||
		result == -SLUICE_EBADF || result == -SLUICE_EFAULT)
		return;
	if (pool_samples(pool, pool_sum_recent(pool, handle->object), handle->index))
		client_sampled(client, pool, handle, TMEM_EVENT_PUT);
}
