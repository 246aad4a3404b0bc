/*
 * The audit of the arena (tmem/audit.h): each slot's record against what its block says is free,
 * and who may have it.
 */
#include "tmem/audit.h"

void audit_visit_metadata(void *page, void *argument)
{
	struct audit *audit = argument;

	audit->metadata_pages++;
	audit->visit(page, audit->argument);
}

static bool bit(const u64 *bits, u32 n)
{
	return bits[n / 64] >> n % 64 & 1;
}

static void audit_slot(struct audit *audit, const struct block *block, u32 place)
{
	const struct page *page = page_at(audit->tmem, block->number * BLOCK_PAGES + place);
	bool is_free = bit(block->free, place), is_absent = bit(block->absent, place);
	enum slot_state state = page_state(page);
	const struct tmem_client *client;

	if (is_absent != (state == SLOT_ABSENT) || (is_free && state != SLOT_EMPTY)) {
		FAIL(audit, "block %u slot %u: state %u, free %d, absent %d", block->number, place,
			state, is_free, is_absent);
		return;
	}
	if (is_absent)
		return;
	if (!block_is_virtual(block)) {
		audit->frames++;
		audit->visit(block_frame(block, place), audit->argument);
	}
	if (is_free)
		return;
	if (block_is_virtual(block) && state != SLOT_EMPTY) {
		/* Its record has a content in place of a client: see audit_page(). */
		audit->slots_used++;
		return;
	}
	client = audit->tmem->clients[page_client(page)];
	/* Who brought it may be gone: dedup_audit() knows the contents of groups. */
	if (state == SLOT_COMMON) {
		audit->slots_dense++;
		return;
	}
	if (!client || !client->alive || state > SLOT_PACKED) {
		FAIL(audit, "block %u slot %u: state %u, client %u", block->number, place, state,
			page_client(page));
		return;
	}
	audit->slots_used += state == SLOT_PERSISTENT || page_is_queued(page);
	audit->slots_idle += state == SLOT_EMPTY;
	audit->slots_dense += state == SLOT_SHARED || state == SLOT_PACKED;
}

static void visit_leaves(struct audit *audit, const struct directory *directory)
{
	for (u32 i = 0; i < directory->reach; i++)
		if (directory_leaf(directory, i))
			audit_visit_metadata(directory_leaf(directory, i), audit);
	directory_visit(directory, audit_visit_metadata, audit);
}

void audit_blocks(struct audit *audit)
{
	const struct arena *arena = &audit->tmem->arena;

	for (u32 number = 1; number < arena->block_numbers; number++) {
		struct block *block = arena_block(audit->tmem, number);
		u32 present = 0, free_count = 0;

		if (!block)
			continue;
		if (block->frames)
			audit_visit_metadata(block->frames, audit);
		for (u32 place = 0; place < BLOCK_PAGES; place++) {
			audit_slot(audit, block, place);
			present += !bit(block->absent, place);
			free_count += bit(block->free, place);
		}
		if (block->number != number || present != block->present ||
			free_count != block->free_count)
			FAIL(audit, "block %u (%u): %u of %u slots, %u of %u free", number,
				block->number, present, block->present, free_count,
				block->free_count);
		if (block->open != (block->frames && present < BLOCK_PAGES) ||
			(block->open && block->open_class != block->class))
			FAIL(audit, "block %u of %u frames is open %d for class %u", number,
				present, block->open, block->open_class);
	}
	visit_leaves(audit, &arena->blocks);
	visit_leaves(audit, &arena->records);
	for (void **page = arena->pages; page; page = *page)
		audit->visit(page, audit->argument);
}
