/*
 * The nested page tables (memory_nested.h). An entry is written by one 8-byte store, a new table
 * before the entry that links it, so that a processor that walks meanwhile sees the old or the new,
 * never less.
 */
#include "kernel/vm/memory_nested.h"

#include <abi/errno.h>

#include "kernel/core/bug.h"
#include "kernel/core/frame.h"
#include "kernel/vm/commit.h"
#include "kernel/vm/limbo.h"

static void write_entry(u64 *entry, u64 value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static u64 *table_alloc(struct memory *memory)
{
	mfn_t frame = frame_alloc(FRAME_HYPERVISOR, 0, memory->owner);
	u64 *table;

	if (mfn_is_none(frame))
		return NULL;
	table = mfn_to_ptr(frame);
	for (unsigned i = 0; i < NESTED_ENTRIES; i++)
		table[i] = memory->layout->empty;
	memory->table_pages++;
	commit_count_tables(1);
	return table;
}

static u64 table_entry(const struct memory *memory, const u64 *table)
{
	return ptr_to_hpa(table).raw | memory->layout->table;
}

static u64 leaf_entry(const struct nested_layout *layout, mfn_t host, unsigned level)
{
	return mfn_to_hpa(host).raw | layout->leaf | (level > 1 ? layout->large : 0);
}

/* Large and huge leaves are counted as they come and go. */
static void count_leaf(struct memory *memory, unsigned level, s64 change)
{
	if (level == 2)
		memory->large_pages += (u64)change;
	else if (level == 3)
		memory->huge_pages += (u64)change;
}

int nested_create(struct memory *memory)
{
	u64 *root = table_alloc(memory);

	if (!root)
		return -SLUICE_ENOMEM;
	memory->root = ptr_to_hpa(root);
	return 0;
}

/* Writes @leaf into the entry of @frame at @level. */
static int map_leaf(struct memory *memory, u64 frame, u64 leaf, unsigned level)
{
	const struct nested_layout *layout = memory->layout;
	unsigned at;
	u64 *entry = nested_lookup(memory, frame, &at);

	if ((*entry & layout->present) || at < level)
		return -SLUICE_EBUSY;
	for (; at > level; at--) {
		u64 *table = table_alloc(memory);

		if (!table)
			return -SLUICE_ENOMEM;
		write_entry(entry, table_entry(memory, table));
		entry = &table[nested_index(frame, at - 1)];
	}
	write_entry(entry, leaf);
	count_leaf(memory, level, 1);
	return 0;
}

int nested_map(struct memory *memory, u64 frame, mfn_t host, unsigned level)
{
	return map_leaf(memory, frame, leaf_entry(memory->layout, host, level), level);
}

int nested_map_shared(struct memory *memory, u64 frame, mfn_t host)
{
	return map_leaf(memory, frame, mfn_to_hpa(host).raw | memory->layout->shared, 1);
}

/* Replaces the leaf @entry at @level by a table of 512 smaller ones: accessed and dirty bits are
 * kept, and one that the processor sets meanwhile is lost, which is why they may only ever be
 * hints. */
static int split_leaf(struct memory *memory, u64 *entry, unsigned level)
{
	const struct nested_layout *layout = memory->layout;
	u64 *table = table_alloc(memory);
	u64 leaf = *entry;

	if (!table)
		return -SLUICE_ENOMEM;
	if (level == 2)
		leaf &= ~layout->large;
	for (u64 i = 0; i < NESTED_ENTRIES; i++)
		table[i] = leaf + (i * nested_span(level - 1) << PAGE_SHIFT);
	count_leaf(memory, level, -1);
	if (level == 3)
		memory->large_pages += NESTED_ENTRIES;
	write_entry(entry, table_entry(memory, table));
	memory->splits++;
	return 0;
}

int nested_split(struct memory *memory, u64 frame, unsigned to)
{
	unsigned level;
	u64 *entry = nested_lookup(memory, frame, &level);

	while (level > to && (*entry & memory->layout->present)) {
		int error = split_leaf(memory, entry, level);

		if (error)
			return error;
		entry = nested_lookup(memory, frame, &level);
	}
	return 0;
}

u64 nested_detach(struct memory *memory, u64 frame, unsigned level)
{
	const struct nested_layout *layout = memory->layout;
	u64 *table = hpa_to_ptr(memory->root);
	unsigned at = NESTED_LEVELS;
	u64 entry;

	for (; at > level; at--) {
		entry = table[nested_index(frame, at)];
		if (!(entry & layout->present))
			return entry;
		ASSERT(!nested_is_leaf(layout, entry, at));
		table = nested_table(entry);
	}
	entry = table[nested_index(frame, level)];
	if (!(entry & layout->present) && entry == layout->empty)
		return entry;
	if ((entry & layout->present) && nested_is_leaf(layout, entry, level))
		count_leaf(memory, level, -1);
	write_entry(&table[nested_index(frame, level)], layout->empty);
	return entry;
}

void nested_set_gone(struct memory *memory, u64 frame, bool gone)
{
	u64 *slot = nested_small(memory, frame);

	ASSERT(slot && !(*slot & memory->layout->present));
	write_entry(slot, gone ? memory->layout->gone : memory->layout->empty);
}

void nested_attach(struct memory *memory, u64 frame, unsigned level, u64 entry)
{
	unsigned at;
	u64 *slot = nested_lookup(memory, frame, &at);

	ASSERT(at == level && !(*slot & memory->layout->present));
	write_entry(slot, entry);
}

/* A leaf's frames into limbo, in blocks. */
static void release_leaf(u64 entry, unsigned level, u64 epoch)
{
	mfn_t host = hpa_to_mfn(hpa(entry & NESTED_HPA));

	if (level == 1) {
		limbo_add(host, 0, FRAME_GUEST, epoch);
		return;
	}
	for (u64 i = 0; i < nested_span(level); i += BLOCK_PAGES)
		limbo_add(mfn(host.raw + i), BLOCK_ORDER, FRAME_GUEST, epoch);
}

/* Recursion is bounded by the four levels. */
static void destroy_table(struct memory *memory, u64 *table, unsigned level, u64 epoch)
{
	for (unsigned i = 0; i < NESTED_ENTRIES; i++) {
		u64 entry = table[i];

		if (!(entry & memory->layout->present))
			continue;
		if (nested_is_leaf(memory->layout, entry, level))
			release_leaf(entry, level, epoch);
		else
			destroy_table(memory, nested_table(entry), level - 1, epoch);
	}
	memory->table_pages--;
	commit_count_tables(-1);
	limbo_add(ptr_to_mfn(table), 0, FRAME_HYPERVISOR, epoch);
}

void nested_release(struct memory *memory, u64 entry, unsigned level, u64 epoch)
{
	if (nested_is_leaf(memory->layout, entry, level))
		release_leaf(entry, level, epoch);
	else
		destroy_table(memory, nested_table(entry), level - 1, epoch);
}

void nested_destroy(struct memory *memory, u64 epoch)
{
	destroy_table(memory, hpa_to_ptr(memory->root), NESTED_LEVELS, epoch);
	memory->large_pages = memory->huge_pages = 0;
}
