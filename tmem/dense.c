/*
 * Contents of virtual pages (tmem/dense.h).
 */
#include "tmem/dense.h"

#include "tmem/dedup.h"
#include "tmem/dense_equal.h"

#include <abi/errno.h>

#define HASH_BITS 25

/* Fragments moved in one step of compaction. */
#define COMPACTED_AT_ONCE 8U

static struct dense *dense_of(const struct tmem_client *client)
{
	return client->dense;
}

static void *frame_at(const struct tmem_client *client, u32 slot)
{
	return block_frame(block_of(client->tmem, slot), slot);
}

/* ---- Life --------------------------------------------------------------------------- */

int dense_create(struct tmem_client *client)
{
	struct dense *dense = metadata_alloc(client->tmem);

	if (!dense)
		return -SLUICE_ENOMEM;
	dense->client = client;
	slab_init(&dense->filled, sizeof(struct filled_content));
	slab_init(&dense->shared, sizeof(struct shared_content));
	slab_init(&dense->lines, sizeof(struct line));
	equal_init(dense);
	pack_init(&dense->pack, client->tmem, client->number);
	client->dense = dense;
	return 0;
}

void dense_destroy(struct tmem_client *client)
{
	struct dense *dense = dense_of(client);

	if (!dense)
		return;
	pack_destroy(&dense->pack);
	dense_account(client);
	for (unsigned class = 0; class < TMEM_CLASSES; class ++)
		table_destroy(client->tmem, &dense->contents[class]);
	slab_destroy(client->tmem, &dense->lines);
	slab_destroy(client->tmem, &dense->shared);
	slab_destroy(client->tmem, &dense->filled);
	metadata_free(client->tmem, dense);
	client->dense = NULL;
}

/* ---- Filled pages ------------------------------------------------------------------- */

static bool place_filled(struct tmem_client *client, u64 word, u32 *content)
{
	struct dense *dense = dense_of(client);
	struct filled_content *filled;
	u32 id;

	*content = CONTENT_ZEROS;
	if (!word)
		return true;
	if (slab_reserve(client->tmem, &dense->filled, 1))
		return false;
	id = slab_take(&dense->filled, sizeof(*filled), (void **)&filled);
	filled->word = word;
	*content = content_make(CONTENT_FILLED, id);
	return true;
}

/* ---- Compressed pages --------------------------------------------------------------- */

static enum dense_outcome place_packed(
	struct tmem_client *client, enum tmem_class class, struct dense_look *look, u32 *spare)
{
	struct dense *dense = dense_of(client);
	const u8 *fragment = tmem_port_scratch()->fragment;
	u32 length = look->fragment;
	u32 id;

	if (!length)
		return DENSE_NEEDS_OWN;
	id = pack_store(&dense->pack, class, fragment, length, 0);
	if (!id) {
		if (*spare == SLOT_NONE)
			return DENSE_NEEDS_FRAME;
		if (pack_add_frame(&dense->pack, class, length, *spare))
			return DENSE_NEEDS_OWN;
		*spare = SLOT_NONE;
		id = pack_store(&dense->pack, class, fragment, length, 0);
	}
	if (!id)
		return DENSE_NEEDS_OWN;
	look->content = content_make(CONTENT_PACKED, id);
	return DENSE_PLACED;
}

/* The fragment's page has this record now. */
static void packed_moved(void *argument, u32 owner, u32 old_id, u32 new_id)
{
	struct tmem_client *client = argument;

	(void)old_id;
	WRITE_ONCE(page_at(client->tmem, owner)->client, content_make(CONTENT_PACKED, new_id));
}

bool dense_compact(struct tmem_client *client)
{
	struct dense *dense = dense_of(client);
	u32 gained;

	if (!dense || !dense->sparse)
		return false;
	gained = pack_compact(&dense->pack, COMPACTED_AT_ONCE, packed_moved, client);
	/* Not again before there is a frame's worth more to be won. */
	dense->futile = gained ? 0 : dense->pack.free + FRAME_GRANULES;
	dense_account(client);
	return gained != 0;
}

/* A fragment has gone: what flushes leave free is brought together as fast as it comes. */
static void free_packed(struct tmem_client *client, u32 id)
{
	struct dense *dense = dense_of(client);

	pack_free(&dense->pack, id);
	if (unlikely(pack_is_very_sparse(&dense->pack)) && !dense->vacating)
		dense_compact(client);
}

/* ---- Pages that are equal to those of others ----------------------------------------- */

/* The group's content that is equal, which with a frame in *@spare may be the page's own; false:
 * there is none, or no memory for one. */
static bool place_common(
	struct tmem_client *client, struct pool *pool, struct dense_look *look, u32 *spare)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;
	u32 frame = *spare;
	u32 id = dedup_find(client, class, look->copy, look->hash, spare);

	if (!id)
		return false;
	pool->counts.equal += *spare == frame;
	look->content = content_make(CONTENT_COMMON, id);
	return true;
}

/* ---- The interface ------------------------------------------------------------------ */

/* A page of the pool has this content, which is there, from now on (@sign 1), or no more (-1). */
static void count_page(struct tmem_client *client, struct pool *pool, u32 content, int sign)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;
	enum content_kind kind = content_kind(content);
	struct dense *dense = dense_of(client);
	u64 change = (u64)(s64)sign;

	*(kind == CONTENT_COMMON ? &dense->common[class] : &dense->pages[class]) += change;
	pool->dense_pages[kind] += change;
	if (kind == CONTENT_COMMON || kind == CONTENT_SHARED)
		dense->shared_pages += change;
	if (kind == CONTENT_PACKED)
		pool->packed_bytes += change * pack_length(&dense->pack, content & CONTENT_ID_MASK);
}

/* What packs of persistent pages hold beyond a frame a page: flushes leave that until frames are
 * given back, and no page more may be admitted for it. */
static void account_excess(struct tmem_client *client)
{
	const struct pack_class *persistent = &dense_of(client)->pack.classes[PERSISTENT];
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
	struct dense *dense = dense_of(client);
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
	const struct dense *dense = dense_of(client);
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

bool dense_place_filled(
	struct tmem_client *client, struct pool *pool, const void *page, u32 *content)
{
	u64 word;

	if (!content_is_filled(page, &word) || !place_filled(client, word, content))
		return false;
	count_page(client, pool, *content, 1);
	dense_account(client);
	return true;
}

/* A page with the same content, which nobody's frame is needed for; in a group this page's own, if
 * it may not be compressed. */
static bool find_place(
	struct tmem_client *client, struct pool *pool, struct dense_look *look, u32 *spare)
{
	u32 no_frame = SLOT_NONE;

	if (client->group)
		return place_common(
			client, pool, look, pool->modes & TMEM_MODE_COMPRESS ? &no_frame : spare);
	if (!equal_place(client, pool->persistent ? PERSISTENT : EPHEMERAL, look))
		return false;
	pool->counts.equal++;
	return true;
}

/* Copies the page, and finds out what can be known of it without a frame; true if it was placed. */
static bool look_at(
	struct tmem_client *client, struct pool *pool, struct dense_look *look, u32 *spare)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;

	look->looked = true;
	if (pool->modes & TMEM_MODE_DEDUP && !client->group) {
		if (equal_expect(client, class, look)) {
			pool->counts.equal++;
			return true;
		}
		equal_prefetch(client, class);
	}
	look->copied = true;
	if (pool->modes & TMEM_MODE_DEDUP) {
		u64 hash;

		hash = content_copy(&client->tmem->content_key, look->copy, look->data);
		look->hash = (u32)(hash >> (64 - HASH_BITS)) | 1;
		if (find_place(client, pool, look, spare))
			return true;
	} else {
		tmem_port_copy(look->copy, look->data);
	}
	if (pool->modes & TMEM_MODE_COMPRESS)
		look->fragment = page_compress(&dense_of(client)->admission[class], look->copy);
	return false;
}

enum dense_outcome dense_place(
	struct tmem_client *client, struct pool *pool, struct dense_look *look, u32 *spare)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;
	enum dense_outcome outcome;

	if (!look->looked && look_at(client, pool, look, spare))
		outcome = DENSE_PLACED;
	else
		outcome = place_packed(client, class, look, spare);
	if (outcome == DENSE_NEEDS_OWN && client->group && look->hash) {
		if (*spare == SLOT_NONE)
			outcome = DENSE_NEEDS_FRAME;
		else if (place_common(client, pool, look, spare))
			outcome = DENSE_PLACED;
		else
			/* What equal pages there are is the group's to know. */
			look->hash = 0;
	}
	if (outcome != DENSE_PLACED)
		return outcome;
	count_page(client, pool, look->content, 1);
	dense_account(client);
	return DENSE_PLACED;
}

u32 dense_references(const struct tmem_client *client, u32 content)
{
	u32 id = content & CONTENT_ID_MASK;

	switch (content_kind(content)) {
	case CONTENT_FILLED:
		return 0;
	case CONTENT_SHARED:
		return shared_at(&client->dense->shared, id)->refs;
	case CONTENT_PACKED:
		return 1;
	case CONTENT_COMMON:
		return dedup_references(client->group, id);
	}
	return 0;
}

void dense_own(struct tmem_client *client, u32 content, u32 slot)
{
	if (content_kind(content) == CONTENT_PACKED)
		pack_set_owner(&dense_of(client)->pack, content & CONTENT_ID_MASK, slot);
}

int dense_fetch(struct tmem_client *client, u32 content, void *data)
{
	struct dense *dense = dense_of(client);
	u32 id = content & CONTENT_ID_MASK;

	switch (content_kind(content)) {
	case CONTENT_FILLED:
		content_fill(data, id ? filled_at(&dense->filled, id)->word : 0);
		return 0;
	case CONTENT_SHARED:
		tmem_port_copy(data, frame_at(client, shared_at(&dense->shared, id)->slot));
		return 0;
	case CONTENT_PACKED:
		if (page_decompress(&dense->pack, id, data))
			break;
		return 0;
	case CONTENT_COMMON:
		dedup_fetch(client->group, id, data);
		return 0;
	}
	tmem_port_complain("tmem: client %u: content %x is broken", client->number, content);
	return -SLUICE_EINVAL;
}

void dense_release(struct tmem_client *client, struct pool *pool, u32 content)
{
	enum tmem_class class = pool->persistent ? PERSISTENT : EPHEMERAL;
	struct dense *dense = dense_of(client);
	u32 id = content & CONTENT_ID_MASK;

	count_page(client, pool, content, -1);
	switch (content_kind(content)) {
	case CONTENT_FILLED:
		if (id)
			slab_put(client->tmem, &dense->filled, FILLED_ID_SHIFT, id,
				filled_at(&dense->filled, id));
		break;
	case CONTENT_SHARED:
		equal_release(client, id);
		break;
	case CONTENT_PACKED:
		free_packed(client, id);
		break;
	case CONTENT_COMMON:
		dedup_release(client, class, id);
		break;
	}
	dense_account(client);
}

/* ---- Reclaim ------------------------------------------------------------------------ */

enum tmem_class dense_class(const struct tmem_client *client, u32 slot)
{
	const struct page *page = page_at(client->tmem, slot);

	if (page_state(page) == SLOT_SHARED)
		return (enum tmem_class)(page->next >> SLOT_BITS);
	return (enum tmem_class)run_at(&dense_of(client)->pack, page->owner)->class;
}

bool dense_vacate(struct tmem_client *client, u32 slot, u32 *to,
	void (*evict)(struct tmem_client *client, u32 slot))
{
	struct dense *dense = dense_of(client);
	struct page *page = page_at(client->tmem, slot);
	u32 owners[RUN_FRAGMENTS];
	u32 run = page->owner, count;

	if (page_state(page) == SLOT_SHARED) {
		if (!*to)
			return false;
		equal_move(client, slot, *to);
		*to = SLOT_NONE;
		return true;
	}
	if (*to) {
		pack_replace_frame(&dense->pack, run, slot, *to);
		*to = SLOT_NONE;
		return true;
	}
	count = pack_frame_owners(&dense->pack, run, slot, owners);
	dense->vacating = true;
	for (u32 i = 0; i < count; i++)
		evict(client, owners[i]);
	dense->vacating = false;
	/* With its last fragment the run may have given the frame back by itself. */
	if (page_state(page) != SLOT_PACKED || page->owner != run)
		return false;
	if (pack_detach_frame(&dense->pack, run, slot))
		return false;
	dense_account(client);
	return true;
}
