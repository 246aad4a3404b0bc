/*
 * Contents of virtual pages (tmem/dense.h).
 */
#include "tmem/dense.h"

#include "tmem/dedup.h"

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

static u32 make_content(enum content_kind kind, u32 id)
{
	return (u32)kind << CONTENT_KIND_SHIFT | id;
}

/* ---- Life --------------------------------------------------------------------------- */

/* The table's hash of a frame: 25 bits of the content's hash, spread. */
static u64 rehash_frame(const void *owner, const u64 keys[6], u32 slot)
{
	const struct dense *dense = owner;

	return hash_word(keys, page_hash(page_at(dense->client->tmem, slot)));
}

int dense_create(struct tmem_client *client)
{
	struct dense *dense = metadata_alloc(client->tmem);

	if (!dense)
		return -SLUICE_ENOMEM;
	dense->client = client;
	slab_init(&dense->filled, sizeof(struct filled_content));
	slab_init(&dense->shared, sizeof(struct shared_content));
	slab_init(&dense->lines, sizeof(struct line));
	for (unsigned class = 0; class < TMEM_CLASSES; class ++)
		table_init(&dense->contents[class], &dense->lines, client->hash_keys, rehash_frame,
			dense);
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
	*content = make_content(CONTENT_FILLED, id);
	return true;
}

/* ---- Equal pages -------------------------------------------------------------------- */

struct content_key_of_page {
	const struct tmem_client *client;
	const void *copy;
	u32 hash;
};

static inline bool match_content(const void *owner, const void *key, u32 slot)
{
	const struct dense *dense = owner;
	const struct content_key_of_page *wanted = key;

	return page_hash(page_at(dense->client->tmem, slot)) == wanted->hash &&
	       content_equals(frame_at(dense->client, slot), wanted->copy);
}

/* The frame that holds just this, or 0. */
static u32 find_equal(struct tmem_client *client, enum tmem_class class, const void *copy, u32 hash)
{
	struct dense *dense = dense_of(client);
	const struct table *table = &dense->contents[class];
	struct content_key_of_page wanted = {.client = client, .copy = copy, .hash = hash};
	u32 slot = table_find_part(
		table, &table->now, hash_word(table->now.keys, hash), match_content, &wanted);

	if (!slot && table_is_moving(table))
		slot = table_find_part(table, &table->old, hash_word(table->old.keys, hash),
			match_content, &wanted);
	return slot;
}

static void note_frame(struct tmem_client *client, enum tmem_class class, u32 slot, u32 hash)
{
	struct dense *dense = dense_of(client);
	struct table *table = &dense->contents[class];
	struct page *page = page_at(client->tmem, slot);

	/* Without memory for its entry it is not shared: nothing worse. */
	if (!hash || slab_reserve(client->tmem, &dense->lines, TABLE_SPARE_LINES) ||
		table_reserve(client->tmem, table))
		return;
	WRITE_ONCE(page->client, client->number | hash << HASH_SHIFT);
	table_insert(client->tmem, table, hash_word(table->now.keys, hash), slot);
}

/* What note_frame() will touch wherever the page belongs, fetched while that is not known yet: a
 * bucket that is split next, and with the insertion that does it the records of what is in it. */
static void prefetch_split(const struct tmem_client *client, enum tmem_class class)
{
	const struct table *table = &dense_of(client)->contents[class];
	const struct line *split = table_next_split(table);

	if (!split)
		return;
	if (!table_wants_bucket(table)) {
		__builtin_prefetch(split);
		return;
	}
	for (u32 place = 0; place < LINE_PLACES; place++)
		if (split->tags[place])
			__builtin_prefetch(page_at(client->tmem, entry_id(split->entries[place])));
}

void dense_note(struct tmem_client *client, const struct pool *pool, u32 slot, u32 hash)
{
	note_frame(client, pool->persistent ? PERSISTENT : EPHEMERAL, slot, hash);
}

void dense_forget(struct tmem_client *client, enum tmem_class class, u32 slot, struct page *page)
{
	u32 hash = page_hash(page);
	struct table *table;

	if (!hash)
		return;
	table = &dense_of(client)->contents[class];
	table_remove(client->tmem, table, hash_word(table->now.keys, hash), slot);
	WRITE_ONCE(page->client, client->number);
}

static enum tmem_class class_of(const struct tmem_client *client, const struct page *page)
{
	return client->pools[page_pool(page)]->persistent ? PERSISTENT : EPHEMERAL;
}

/* The frame of a stored page becomes the content of that page and others to come; its id, or 0
 * without memory. */
static u32 make_shared(struct tmem_client *client, u32 slot)
{
	struct dense *dense = dense_of(client);
	struct page *page = page_at(client->tmem, slot);
	enum tmem_class class = class_of(client, page);
	struct shared_content *shared;
	u32 id, record;

	if (slab_reserve(client->tmem, &dense->shared, 1))
		return 0;
	record = client_take_slot(client, VIRTUAL);
	if (record == SLOT_NONE)
		return 0;
	id = slab_take(&dense->shared, sizeof(*shared), (void **)&shared);
	*shared = (struct shared_content){.slot = slot, .refs = 1};
	client_move_record(client, slot, record, make_content(CONTENT_SHARED, id));
	page->owner = id;
	page->next = (u32) class << SLOT_BITS;
	page_set_state(page, SLOT_SHARED);
	dense->shared_frames[class]++;
	dense->pages[class]++;
	dense->shared_pages++;
	client->pools[page_pool(page_at(client->tmem, record))]->dense_pages[CONTENT_SHARED]++;
	return id;
}

static bool place_equal(struct tmem_client *client, enum tmem_class class, struct dense_look *look)
{
	u32 slot = find_equal(client, class, look->copy, look->hash);
	const struct page *page;
	u32 id;

	if (!slot)
		return false;
	page = page_at(client->tmem, slot);
	id = page_state(page) == SLOT_SHARED ? page->owner : make_shared(client, slot);
	if (!id) {
		/* One page a content is noted. */
		look->hash = 0;
		return false;
	}
	shared_at(&dense_of(client)->shared, id)->refs++;
	look->content = make_content(CONTENT_SHARED, id);
	return true;
}

static void release_shared(struct tmem_client *client, u32 id)
{
	struct dense *dense = dense_of(client);
	struct shared_content *shared = shared_at(&dense->shared, id);
	u32 slot = shared->slot;
	struct block *block = block_of(client->tmem, slot);
	struct page *page = block_page(block, slot);
	enum tmem_class class;

	if (--shared->refs)
		return;
	class = (enum tmem_class)(page->next >> SLOT_BITS);
	dense_forget(client, class, slot, page);
	shared->refs = 0;
	slab_put(client->tmem, &dense->shared, SHARED_ID_SHIFT, id, shared);
	dense->shared_frames[class]--;
	client_give_slot(client, block, page, slot);
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
	look->content = make_content(CONTENT_PACKED, id);
	return DENSE_PLACED;
}

/* The fragment's page has this record now. */
static void packed_moved(void *argument, u32 owner, u32 old_id, u32 new_id)
{
	struct tmem_client *client = argument;

	(void)old_id;
	WRITE_ONCE(page_at(client->tmem, owner)->client, make_content(CONTENT_PACKED, new_id));
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
	look->content = make_content(CONTENT_COMMON, id);
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
	if (!place_equal(client, pool->persistent ? PERSISTENT : EPHEMERAL, look))
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
	if (pool->modes & TMEM_MODE_DEDUP) {
		u64 hash;

		if (!client->group)
			prefetch_split(client, class);
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
		release_shared(client, id);
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

static void move_shared(struct tmem_client *client, u32 slot, u32 to)
{
	struct page *page = page_at(client->tmem, slot), *target = page_at(client->tmem, to);
	enum tmem_class class = (enum tmem_class)(page->next >> SLOT_BITS);
	struct dense *dense = dense_of(client);
	u32 hash = page_hash(page);

	tmem_port_copy_away(frame_at(client, to), frame_at(client, slot));
	dense_forget(client, class, slot, page);
	shared_at(&dense->shared, page->owner)->slot = to;
	target->owner = page->owner;
	target->next = page->next;
	page_set_state(target, SLOT_SHARED);
	page_set_state(page, SLOT_EMPTY);
	WRITE_ONCE(target->client, client->number);
	note_frame(client, class, to, hash);
}

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
		move_shared(client, slot, *to);
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
