/*
 * Contents that pages of several clients have (tmem/dedup.h).
 */
#include "tmem/dedup.h"

#include <abi/errno.h>

#include "tmem/client_slots.h"
#include "tmem/content.h"

static u64 rehash(const void *owner, const u64 keys[6], u32 id)
{
	return hash_word(keys, common_at(owner, id)->hash);
}

/* ---- Life --------------------------------------------------------------------------- */

static struct dedup_group *dedup_create(struct tmem *tmem, u32 number)
{
	struct dedup_group *group = metadata_alloc(tmem);

	if (!group)
		return NULL;
	tmem_port_lock_init(&group->lock, TMEM_LOCK_GROUP);
	group->tmem = tmem;
	group->number = number;
	tmem_port_random(group->hash_keys, ARRAY_SIZE(group->hash_keys));
	slab_init(&group->contents, sizeof(struct common_content));
	slab_init(&group->lines, sizeof(struct line));
	for (unsigned class = 0; class < TMEM_CLASSES; class ++)
		table_init(&group->tables[class], &group->lines, group->hash_keys, rehash, group);
	return group;
}

struct dedup_group *dedup_get(struct tmem *tmem, u32 number)
{
	struct dedup_group **place = &tmem->groups[number - 1];
	struct dedup_group *group = __atomic_load_n(place, __ATOMIC_ACQUIRE);
	struct dedup_group *made;

	if (group)
		return group;
	made = dedup_create(tmem, number);
	if (!made)
		return NULL;
	/* Two clients may begin at once. */
	if (__atomic_compare_exchange_n(
		    place, &group, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return made;
	metadata_free(tmem, made);
	return group;
}

void dedup_destroy(struct tmem *tmem)
{
	for (u32 i = 0; i < TMEM_GROUPS; i++) {
		struct dedup_group *group = tmem->groups[i];

		if (!group)
			continue;
		for (unsigned class = 0; class < TMEM_CLASSES; class ++)
			table_destroy(tmem, &group->tables[class]);
		slab_destroy(tmem, &group->lines);
		slab_destroy(tmem, &group->contents);
		metadata_free(tmem, group);
	}
}

u64 dedup_frames_peak(const struct tmem *tmem)
{
	u64 peak = 0;

	for (u32 i = 0; i < TMEM_GROUPS; i++) {
		const struct dedup_group *group = __atomic_load_n(
			&tmem->groups[i], __ATOMIC_ACQUIRE);

		peak += group ? READ_ONCE(group->peak) : 0;
	}
	return peak;
}

u64 dedup_frames(const struct tmem *tmem)
{
	u64 frames = 0;

	for (u32 i = 0; i < TMEM_GROUPS; i++) {
		const struct dedup_group *group = __atomic_load_n(
			&tmem->groups[i], __ATOMIC_ACQUIRE);

		for (unsigned class = 0; group && class < TMEM_CLASSES; class ++)
			frames += READ_ONCE(group->frames[class]);
	}
	return frames;
}

/* ---- Contents ----------------------------------------------------------------------- */

struct wanted {
	const void *copy;
	u32 hash;
};

static inline bool match(const void *owner, const void *key, u32 id)
{
	const struct dedup_group *group = owner;
	const struct wanted *wanted = key;
	const struct common_content *content = common_at(group, id);

	return content->hash == wanted->hash &&
	       content_equals(frame_at(group->tmem, content->slot), wanted->copy);
}

/* The group's lock is held. */
static u32 find(struct dedup_group *group, enum tmem_class class, const void *copy, u32 hash)
{
	const struct table *table = &group->tables[class];
	struct wanted wanted = {.copy = copy, .hash = hash};
	u32 id = table_find_part(
		table, &table->now, hash_word(table->now.keys, hash), match, &wanted);

	if (!id && table_is_moving(table))
		id = table_find_part(
			table, &table->old, hash_word(table->old.keys, hash), match, &wanted);
	if (id)
		common_at(group, id)->refs++;
	return id;
}

/* The record of a content's frame. */
static void mark(struct page *page, u32 id, u32 client, const struct dedup_group *group,
	enum tmem_class class)
{
	page->owner = id;
	WRITE_ONCE(page->client,
		client | (u32) class << COMMON_CLASS_SHIFT | group->number << COMMON_GROUP_SHIFT);
	page_set_state(page, SLOT_COMMON);
}

/* The frame in @slot holds just this from now on. The group's lock is held. */
static u32 add(
	struct dedup_group *group, enum tmem_class class, const void *copy, u32 hash, u32 slot)
{
	struct table *table = &group->tables[class];
	struct page *page = page_at(group->tmem, slot);
	struct common_content *content;
	u32 id;

	if (slab_reserve(group->tmem, &group->contents, 1) ||
		slab_reserve(group->tmem, &group->lines, TABLE_SPARE_LINES) ||
		table_reserve(group->tmem, table))
		return 0;
	id = slab_take(&group->contents, sizeof(*content), (void **)&content);
	*content = (struct common_content){.slot = slot, .refs = 1, .hash = hash};
	if (frame_at(group->tmem, slot) != copy)
		tmem_port_copy_away(frame_at(group->tmem, slot), copy);
	mark(page, id, page_client(page), group, class);
	table_insert(group->tmem, table, hash_word(table->now.keys, hash), id);
	WRITE_ONCE(group->frames[class], group->frames[class] + 1);
	WRITE_ONCE(group->peak,
		MAX(group->peak, group->frames[EPHEMERAL] + group->frames[PERSISTENT]));
	return id;
}

u32 dedup_find(
	struct tmem_client *client, enum tmem_class class, const void *copy, u32 hash, u32 *slot)
{
	struct dedup_group *group = client->group;
	u32 id;

	tmem_port_lock(&group->lock);
	id = find(group, class, copy, hash);
	if (!id && *slot != SLOT_NONE) {
		id = add(group, class, copy, hash, *slot);
		if (id)
			*slot = SLOT_NONE;
	}
	tmem_port_unlock(&group->lock);
	return id;
}

u32 dedup_references(struct dedup_group *group, u32 id)
{
	u32 refs;

	tmem_port_lock(&group->lock);
	refs = common_at(group, id)->refs;
	tmem_port_unlock(&group->lock);
	return refs;
}

void dedup_fetch(struct dedup_group *group, u32 id, void *data)
{
	/* Reclaim may move the content. */
	tmem_port_lock(&group->lock);
	tmem_port_copy(data, frame_at(group->tmem, common_at(group, id)->slot));
	tmem_port_unlock(&group->lock);
}

/* The content is no more; its frame is in the caller's hands. */
static u32 remove_content(struct dedup_group *group, enum tmem_class class, u32 id, u32 client)
{
	struct common_content *content = common_at(group, id);
	struct table *table = &group->tables[class];
	u32 slot = content->slot;
	struct page *page = page_at(group->tmem, slot);

	table_remove(group->tmem, table, hash_word(table->now.keys, content->hash), id);
	slab_put(group->tmem, &group->contents, COMMON_ID_SHIFT, id, content);
	WRITE_ONCE(group->frames[class], group->frames[class] - 1);
	/* While the lock is held, so that reclaim does not take it for a content any more. */
	WRITE_ONCE(page->client, client);
	page_set_state(page, SLOT_EMPTY);
	return slot;
}

void dedup_release(struct tmem_client *client, enum tmem_class class, u32 id)
{
	struct dedup_group *group = client->group;
	u32 slot = SLOT_NONE;

	tmem_port_lock(&group->lock);
	if (!--common_at(group, id)->refs)
		slot = remove_content(group, class, id, client->number);
	tmem_port_unlock(&group->lock);
	if (slot != SLOT_NONE)
		client_give_slot(
			client, block_of(client->tmem, slot), page_at(client->tmem, slot), slot);
}

/* ---- Reclaim ------------------------------------------------------------------------ */

bool dedup_vacate(struct tmem_client *client, u32 slot, u32 to)
{
	struct page *page = page_at(client->tmem, slot), *target = page_at(client->tmem, to);
	u32 word = READ_ONCE(page->client), number = word >> COMMON_GROUP_SHIFT;
	struct dedup_group *group;
	bool common;

	/* While a record says that it is common its group is there; only the lock tells. */
	if (!number || number > TMEM_GROUPS)
		return false;
	group = __atomic_load_n(&client->tmem->groups[number - 1], __ATOMIC_ACQUIRE);
	if (!group)
		return false;
	tmem_port_lock(&group->lock);
	common = page_state(page) == SLOT_COMMON && READ_ONCE(page->client) == word;
	if (common) {
		tmem_port_copy_away(frame_at(group->tmem, to), frame_at(group->tmem, slot));
		common_at(group, page->owner)->slot = to;
		mark(target, page->owner, client->number, group, common_class(page));
		WRITE_ONCE(page->client, client->number);
		page_set_state(page, SLOT_EMPTY);
	}
	tmem_port_unlock(&group->lock);
	return common;
}

/* ---- The audit ---------------------------------------------------------------------- */

struct check {
	const struct dedup_group *group;
	u64 refs, frames;
	enum tmem_class class;
};

static bool check_content(void *argument, u32 id)
{
	struct check *check = argument;
	const struct dedup_group *group = check->group;
	const struct common_content *content;
	const struct page *page;

	if (!id || id >> COMMON_ID_SHIFT >= group->contents.numbers)
		return false;
	content = common_at(group, id);
	if (!content->refs || !arena_block(group->tmem, content->slot / BLOCK_PAGES))
		return false;
	page = page_at(group->tmem, content->slot);
	check->refs += content->refs;
	check->frames++;
	return page_state(page) == SLOT_COMMON && page->owner == id &&
	       common_class(page) == check->class &&
	       page->client >> COMMON_GROUP_SHIFT == group->number;
}

int dedup_audit(const struct dedup_group *group, u64 pages,
	void (*visit)(void *page, void *argument), void *argument)
{
	struct check check = {.group = group};
	bool bad = false;

	for (unsigned class = 0; class < TMEM_CLASSES; class ++) {
		u64 before = check.frames;

		check.class = (enum tmem_class) class;
		bad |= table_check(&group->tables[class], check_content, &check) !=
		       group->tables[class].entries;
		bad |= check.frames - before != group->frames[class] ||
		       group->frames[class] != group->tables[class].entries;
		table_visit(&group->tables[class], visit, argument);
	}
	if (bad || check.refs != pages || slab_used(&group->contents) != check.frames) {
		tmem_port_complain("tmem audit: group %u: %llu contents, %u records, %llu "
				   "references of %llu pages",
			group->number, (unsigned long long)check.frames,
			slab_used(&group->contents), (unsigned long long)check.refs,
			(unsigned long long)pages);
		bad = true;
	}
	slab_visit(&group->lines, visit, argument);
	slab_visit(&group->contents, visit, argument);
	visit((void *)group, argument);
	return bad ? -SLUICE_EINVAL : 0;
}
