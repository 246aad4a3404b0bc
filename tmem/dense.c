/*
 * Contents of virtual pages (tmem/dense.h): what a page is found to be, and where its content is.
 */
#include "tmem/dense.h"

#include <abi/errno.h>

#include "tmem/dedup.h"
#include "tmem/dense_equal.h"

#define HASH_BITS 25

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
	struct dense *dense = client->dense;

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
	struct dense *dense = client->dense;
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
	struct dense *dense = client->dense;
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

/* A fragment has gone: what flushes leave free is brought together as fast as it comes. */
static void free_packed(struct tmem_client *client, u32 id)
{
	struct dense *dense = client->dense;

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

/* ---- All of them ------------------------------------------------------------------ */

bool dense_place_filled(
	struct tmem_client *client, struct pool *pool, const void *page, u32 *content)
{
	u64 word;

	if (!content_is_filled(page, &word) || !place_filled(client, word, content))
		return false;
	dense_count(client, pool, *content, 1);
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
		look->fragment = page_compress(&client->dense->admission[class], look->copy);
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
	if (content_kind(look->content) == CONTENT_PACKED)
		pool->packed_bytes += look->fragment;
	dense_count(client, pool, look->content, 1);
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
		pack_set_owner(&client->dense->pack, content & CONTENT_ID_MASK, slot);
}

int dense_fetch(struct tmem_client *client, u32 content, void *data)
{
	struct dense *dense = client->dense;
	u32 id = content & CONTENT_ID_MASK;

	switch (content_kind(content)) {
	case CONTENT_FILLED:
		content_fill(data, id ? filled_at(&dense->filled, id)->word : 0);
		return 0;
	case CONTENT_SHARED:
		tmem_port_copy(data, frame_at(client->tmem, shared_at(&dense->shared, id)->slot));
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
	struct dense *dense = client->dense;
	u32 id = content & CONTENT_ID_MASK;

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
		pool->packed_bytes -= pack_length(&dense->pack, id);
		free_packed(client, id);
		break;
	case CONTENT_COMMON:
		dedup_release(client, class, id);
		break;
	}
	dense_count(client, pool, content, -1);
}
