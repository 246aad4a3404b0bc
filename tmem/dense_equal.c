/*
 * Equal pages of one client (tmem/dense_equal.h): a table of its frames by the hash of what is in
 * them, one a class; and the frames that are the content of several pages.
 */
#include "tmem/dense_equal.h"
#include "tmem/client_slots.h"
#include "tmem/index.h"

/* So many steps from one frame to the next make a row that is believed to go on. */
#define EQUAL_ROW_MIN 8U

/* ---- The table ---------------------------------------------------------------------- */

/* The table's hash of a frame: 25 bits of the content's hash, spread. */
static u64 rehash_frame(const void *owner, const u64 keys[6], u32 slot)
{
	const struct dense *dense = owner;

	return hash_word(keys, page_hash(page_at(dense->client->tmem, slot)));
}

void equal_init(struct dense *dense)
{
	for (unsigned class = 0; class < TMEM_CLASSES; class ++)
		table_init(&dense->contents[class], &dense->lines, dense->client->hash_keys,
			rehash_frame, dense);
}

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
	       content_equals(frame_at(dense->client->tmem, slot), wanted->copy);
}

/* The frame that holds just this, or 0. */
static u32 find_equal(struct tmem_client *client, enum tmem_class class, const void *copy, u32 hash)
{
	struct dense *dense = client->dense;
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
	struct dense *dense = client->dense;
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
void equal_prefetch(const struct tmem_client *client, enum tmem_class class)
{
	const struct line *split = table_asks(&client->dense->contents[class]);

	for (u32 place = 0; split && place < LINE_PLACES; place++)
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
	table = &client->dense->contents[class];
	table_remove(client->tmem, table, hash_word(table->now.keys, hash), slot);
	WRITE_ONCE(page->client, client->number);
}

/* ---- Contents of several pages ------------------------------------------------------- */

static enum tmem_class class_of(const struct tmem_client *client, const struct page *page)
{
	return client->pools[page_pool(page)]->persistent ? PERSISTENT : EPHEMERAL;
}

/* The frame of a stored page becomes the content of that page and others to come; its id, or 0
 * without memory. */
static u32 make_shared(struct tmem_client *client, u32 slot)
{
	struct dense *dense = client->dense;
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
	client_move_record(client, slot, record, content_make(CONTENT_SHARED, id));
	page->owner = id;
	page->next = (u32) class << SLOT_BITS;
	page_set_state(page, SLOT_SHARED);
	dense->shared_frames[class]++;
	dense->pages[class]++;
	dense->shared_pages++;
	client->pools[page_pool(page_at(client->tmem, record))]->dense_pages[CONTENT_SHARED]++;
	return id;
}

/* The page is equal to what is in the frame @slot, which is noted. */
static bool share(struct tmem_client *client, u32 slot, struct dense_look *look)
{
	const struct page *page = page_at(client->tmem, slot);
	u32 id = page_state(page) == SLOT_SHARED ? page->owner : make_shared(client, slot);
	struct dense *dense = client->dense;
	u32 step = slot - dense->equal_slot, next = slot + step;

	if (!id) {
		/* One page a content is noted. */
		look->hash = 0;
		return false;
	}
	shared_at(&dense->shared, id)->refs++;
	look->content = content_make(CONTENT_SHARED, id);
	dense->equal_slot = slot;
	/* Up or down. The comparison in vain at the end of a row costs what some before it gained.
	 */
	dense->equal_row = step + 1 <= 2 && step ? dense->equal_row + 1 : 0;
	dense->equal_next = dense->equal_row >= EQUAL_ROW_MIN &&
					    next / BLOCK_PAGES == slot / BLOCK_PAGES
				    ? next
				    : 0;
	return true;
}

bool equal_place(struct tmem_client *client, enum tmem_class class, struct dense_look *look)
{
	u32 slot = find_equal(client, class, look->copy, look->hash);

	return slot && share(client, slot, look);
}

/* Whether the frame in @slot, whose block is there, is one that is noted in the table of the class:
 * others' records may change meanwhile, but then they do not name the client. */
static bool is_noted(const struct tmem_client *client, enum tmem_class class, u32 slot)
{
	const struct page *page = page_at(client->tmem, slot);
	enum slot_state state = page_state(page);
	u32 word = READ_ONCE(page->client);

	if (word >> HASH_SHIFT == 0 || word % TMEM_CLIENTS != client->number)
		return false;
	if (state == SLOT_SHARED)
		return page->next >> SLOT_BITS == class;
	return (state == SLOT_PERSISTENT || page_is_queued(page)) &&
	       class_of(client, page) == class;
}

bool equal_expect(struct tmem_client *client, enum tmem_class class, struct dense_look *look)
{
	const u64 *data = look->data, *frame;
	u32 slot = client->dense->equal_next;

	if (!slot)
		return false;
	client->dense->equal_next = 0;
	if (!is_noted(client, class, slot))
		return false;
	frame = frame_at(client->tmem, slot);
	return *frame == READ_ONCE(*data) && content_equals(frame, data) &&
	       share(client, slot, look);
}

/* The frame of several pages is not that any more. */
static void forget_row(struct dense *dense, u32 slot)
{
	if (slot == dense->equal_slot)
		dense->equal_next = 0;
}

void equal_release(struct tmem_client *client, u32 id)
{
	struct dense *dense = client->dense;
	struct shared_content *shared = shared_at(&dense->shared, id);
	u32 slot = shared->slot;
	struct block *block = block_of(client->tmem, slot);
	struct page *page = block_page(block, slot);
	enum tmem_class class;

	if (--shared->refs)
		return;
	class = (enum tmem_class)(page->next >> SLOT_BITS);
	dense_forget(client, class, slot, page);
	forget_row(dense, slot);
	shared->refs = 0;
	slab_put(client->tmem, &dense->shared, SHARED_ID_SHIFT, id, shared);
	dense->shared_frames[class]--;
	client_give_slot(client, block, page, slot);
}

void equal_move(struct tmem_client *client, u32 slot, u32 to)
{
	struct page *page = page_at(client->tmem, slot), *target = page_at(client->tmem, to);
	enum tmem_class class = (enum tmem_class)(page->next >> SLOT_BITS);
	struct dense *dense = client->dense;
	u32 hash = page_hash(page);

	tmem_port_copy_away(frame_at(client->tmem, to), frame_at(client->tmem, slot));
	forget_row(dense, slot);
	dense_forget(client, class, slot, page);
	shared_at(&dense->shared, page->owner)->slot = to;
	target->owner = page->owner;
	target->next = page->next;
	page_set_state(target, SLOT_SHARED);
	page_set_state(page, SLOT_EMPTY);
	WRITE_ONCE(target->client, client->number);
	note_frame(client, class, to, hash);
}
