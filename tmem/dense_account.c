/*
 * What pages without a frame of their own are counted for (tmem/dense.h): in their pools, against
 * their client's share, and for all who seek frames.
 */
#include "tmem/dense.h"

/* What packs of persistent pages hold beyond a frame a page: flushes leave that until frames are
 * given back, and no page more may be admitted for it. */
static void account_excess(struct tmem_client *client)
{
	const struct pack_class *persistent = &client->dense->pack.classes[PERSISTENT];
	u64 excess = persistent->frames - MIN(persistent->frames, persistent->fragments);

	if (likely(excess == client->persistent_excess))
		return;
	__atomic_fetch_add(&client->tmem->persistent_held, excess - client->persistent_excess,
		__ATOMIC_RELAXED);
	WRITE_ONCE(client->persistent_excess, excess);
}

/* Others that want a frame see that there are some to be won here. */
static void account_sparse(struct tmem_client *client)
{
	struct dense *dense = client->dense;
	u64 *word = &client->tmem->sparse[client->number / 64];
	const u64 bit = BIT(client->number % 64);
	bool sparse;

	if (unlikely(dense->futile) && !pack_is_sparse(&dense->pack))
		dense->futile = 0;
	sparse = pack_is_sparse(&dense->pack) && dense->pack.free >= dense->futile;
	if (likely(sparse == dense->sparse))
		return;
	dense->sparse = sparse;
	if (sparse)
		__atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED);
}

void dense_account(struct tmem_client *client)
{
	const struct dense *dense = client->dense;
	struct tmem_client_stats *stats = &client->stats;

	stats->shared_peak = MAX(stats->shared_peak, dense->shared_pages);
	stats->compressed_peak = MAX(stats->compressed_peak, dense->pack.bytes);

	account_excess(client);
	account_sparse(client);
	WRITE_ONCE(client->common_pages, dense->common[EPHEMERAL]);

	for (unsigned class = 0; class < TMEM_CLASSES; class ++) {
		WRITE_ONCE(client->dense_pages[class], dense->pages[class]);
		WRITE_ONCE(client->dense_frames[class],
			dense->shared_frames[class] + dense->pack.classes[class].frames);
	}
}

void dense_count(struct tmem_client *client, struct pool *pool, u32 content, int sign)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;
	enum content_kind kind = content_kind(content);
	struct dense *dense = client->dense;
	u64 change = (u64)(s64)sign;

	*(kind == CONTENT_COMMON ? &dense->common[class] : &dense->pages[class]) += change;
	pool->dense_pages[kind] += change;
	if (kind == CONTENT_COMMON || kind == CONTENT_SHARED)
		dense->shared_pages += change;
	dense_account(client);
}
