/*
 * The nested page tables of one VM, for the files of kernel/vm/memory*.c and the audit. Four levels
 * of 512 entries in either vendor's layout; leaves stand at level 1 (4 KiB), 2 (2 MiB) or 3 (1
 * GiB). LOCK_MEMORY guards every change; processors walk the tables all the while.
 */
#ifndef VM_MEMORY_NESTED_H
#define VM_MEMORY_NESTED_H

#include "arch/x86/arch.h"
#include "kernel/vm/memory.h"

#define NESTED_LEVELS   4
#define NESTED_ENTRIES  512U
#define NESTED_HPA      0x000ffffffffff000UL
#define NESTED_GFN_BITS 36 /* what four levels translate */

#define HUGE_ORDER 18U
#define HUGE_PAGES (1UL << HUGE_ORDER)

/* Pages under one entry at @level. */
static inline u64 nested_span(unsigned level)
{
	return 1UL << 9 * (level - 1);
}

/* Which of a level-@level table's 512 entries leads to @frame; level 1 has the small leaves. */
static inline unsigned nested_index(u64 frame, unsigned level)
{
	return frame >> 9 * (level - 1) & (NESTED_ENTRIES - 1);
}

/* The table that an entry of a higher level leads to. */
static inline u64 *nested_table(u64 entry)
{
	return hpa_to_ptr(hpa(entry & NESTED_HPA));
}

/* Whether @entry, in a table of @level, maps memory itself. */
static inline bool nested_is_leaf(const struct nested_layout *layout, u64 entry, unsigned level)
{
	return level == 1 || (level < NESTED_LEVELS && (entry & layout->large));
}

/* The root table. 0 or -ENOMEM. */
int __must_check nested_create(struct memory *memory);

/* The entry where the walk for @frame ends, a leaf or an absent one, and its level. */
static inline u64 *nested_lookup(const struct memory *memory, u64 frame, unsigned *level)
{
	const struct nested_layout *layout = memory->layout;
	u64 *table = hpa_to_ptr(memory->root);
	unsigned at = NESTED_LEVELS;

	for (;;) {
		u64 *entry = &table[nested_index(frame, at)];
		u64 value = READ_ONCE(*entry);

		if (!(value & layout->present) || nested_is_leaf(layout, value, at)) {
			*level = at;
			return entry;
		}
		table = nested_table(value);
		at--;
	}
}

/* The level-1 entry of @frame, or NULL where there is no table: the walk of a fault, unrolled. */
static inline u64 *nested_small(const struct memory *memory, u64 frame)
{
	const u64 present = memory->layout->present, large = memory->layout->large;
	const u64 *table = hpa_to_ptr(memory->root);
	u64 entry = READ_ONCE(table[nested_index(frame, 4)]);

	if (!(entry & present))
		return NULL;
	entry = READ_ONCE(nested_table(entry)[nested_index(frame, 3)]);
	if (!(entry & present) || (entry & large))
		return NULL;
	entry = READ_ONCE(nested_table(entry)[nested_index(frame, 2)]);
	if (!(entry & present) || (entry & large))
		return NULL;
	return &nested_table(entry)[nested_index(frame, 1)];
}

/* Writes a leaf into an absent level-1 entry. */
static inline void nested_set_small(const struct memory *memory, u64 *entry, mfn_t host)
{
	__atomic_store_n(entry, mfn_to_hpa(host).raw | memory->layout->leaf, __ATOMIC_RELEASE);
}

/* Whether a touch of @frame, which has no page, may raise #VE where the processor can: for
 * discarded pages. */
void nested_set_gone(struct memory *memory, u64 frame, bool gone);

/* Maps @host at @frame by a leaf at @level (both aligned to it). 0, -ENOMEM (no frame for a table),
 * or -EBUSY if something is mapped there, or below it, already. */
int __must_check nested_map(struct memory *memory, u64 frame, mfn_t host, unsigned level);

/* The same for reading alone, by a leaf at level 1. */
int __must_check nested_map_shared(struct memory *memory, u64 frame, mfn_t host);

/* Breaks the leaf over @frame down to @level without changing a translation. 0 or -ENOMEM. */
int __must_check nested_split(struct memory *memory, u64 frame, unsigned level);

/* Clears the entry of @frame at @level, over which no leaf stands, and returns what it was: a leaf,
 * a table (whose leaves are still in it), or something absent. The caller bumps the generation. */
u64 nested_detach(struct memory *memory, u64 frame, unsigned level);

/* Puts back what nested_detach() returned for @frame at @level; nothing stands there now. */
void nested_attach(struct memory *memory, u64 frame, unsigned level, u64 entry);

/* What nested_detach() returned, with all that is below it, goes into limbo until @epoch. */
void nested_release(struct memory *memory, u64 entry, unsigned level, u64 epoch);

/* Takes the tables apart: every frame mapped and every table goes into limbo until @epoch. */
void nested_destroy(struct memory *memory, u64 epoch);

#endif
