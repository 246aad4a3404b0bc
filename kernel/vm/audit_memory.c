/*
 * The audit of one VM: its nested tables, entry by entry, against its gfn table, both ways. Nothing
 * is followed before the frame it names was found to be what it should be.
 */
#include "kernel/vm/audit_internal.h"
#include "kernel/vm/memory_flip.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/window.h"

/* One walk: what it met, to be compared with the memory's own counters. */
struct walk {
	const struct vm *vm;
	const struct memory *memory;
	enum gfn_state mapped; /* what the gfn table must say of a leaf's pages */
	u64 populated, tables, large, huge, shared, ballooned, reported, discarding, discarded;
};

/* A page of a window: the engine says what stands there. */
static void check_shared(struct walk *walk, u64 frame, mfn_t host)
{
	u8 class;

	if (unlikely(!window_shows(walk->vm, frame, host, &class)))
		audit_report("guest %u: gfn %#lx shows frame %#lx, which is no page of that window",
			walk->memory->owner, (unsigned long)frame, (unsigned long)host.raw);
	audit_met(host, class, 0, 1);
	walk->shared++;
}

/* A leaf's translation of one frame, @host, against the gfn table. */
static void check_page(struct walk *walk, u64 frame, mfn_t host)
{
	const struct memory *memory = walk->memory;
	u64 entry;

	if (unlikely(window_covers(memory, frame))) {
		check_shared(walk, frame, host);
		return;
	}
	if (unlikely(frame >= memory->gfn_count)) {
		audit_report("guest %u: gfn %#lx is mapped beyond its RAM", memory->owner,
			(unsigned long)frame);
		return;
	}
	entry = memory->gfns[frame];
	if (unlikely((entry & GFN_STATE) != walk->mapped ||
		     (entry & GFN_HPA) != mfn_to_hpa(host).raw))
		audit_report("guest %u: gfn %#lx is mapped to frame %#lx, but its entry is %#lx",
			memory->owner, (unsigned long)frame, (unsigned long)host.raw,
			(unsigned long)entry);
	audit_met(host, FRAME_GUEST, memory->owner, 1 + (u32)(entry >> GFN_PIN_SHIFT));
	walk->populated++;
}

static void check_leaf(struct walk *walk, u64 base, u64 entry, unsigned level)
{
	const struct nested_layout *layout = walk->memory->layout;
	u64 hints = layout->accessed | layout->dirty;
	u64 expected = layout->leaf | (level > 1 ? layout->large : 0);
	mfn_t host = hpa_to_mfn(hpa(entry & NESTED_HPA));

	if (level == 1 && window_covers(walk->memory, base))
		expected = layout->shared;
	if (unlikely((entry & ~NESTED_HPA & ~hints) != (expected & ~hints) ||
		     host.raw % nested_span(level) != 0))
		audit_report("guest %u: gfn %#lx has a malformed leaf %#lx at level %u",
			walk->memory->owner, (unsigned long)base, (unsigned long)entry, level);
	for (u64 i = 0; i < nested_span(level); i++)
		check_page(walk, base + i, mfn(host.raw + i));
	walk->large += level == 2;
	walk->huge += level == 3;
}

/* On its way into a 2 MiB page, or to another owner: audit_collapse() and audit_flip() look at it.
 */
static bool is_moving(const struct memory *memory, u64 frame)
{
	if (memory->collapse.active && frame - memory->collapse.base < BLOCK_PAGES)
		return true;
	for (u32 i = 0; memory->flip.pending_count && i < VCPUS_MAX; i++)
		if (memory->flip.pending[i].active && memory->flip.pending[i].gfn == frame)
			return true;
	return false;
}

/* Unmapped, and with its frame until it goes or comes back. */
static bool is_discarding(struct walk *walk, u64 entry)
{
	if ((entry & GFN_STATE) != GFN_DISCARDING || entry >> GFN_PIN_SHIFT)
		return false;
	audit_met(hpa_to_mfn(hpa(entry & GFN_HPA)), FRAME_GUEST, walk->memory->owner, 1);
	walk->populated++;
	walk->discarding++;
	return true;
}

/* Ballooned, now or in an earlier life. */
static bool is_of_a_balloon(const struct memory *memory, u64 entry)
{
	return (entry & ~GFN_HPA) == GFN_BALLOONED && entry <= memory_ballooned_entry(memory);
}

/* Nothing is mapped from @base on: then no gfn entry may say otherwise. */
static void check_absent(struct walk *walk, u64 base, u64 entry, unsigned level)
{
	const struct memory *memory = walk->memory;
	u64 end = MIN(base + nested_span(level), memory->gfn_count);

	/* With @gone alone a touch may raise #VE, and with nothing else. */
	if (unlikely(entry != (level == 1 && base < end && memory->gfns[base] == GFN_DISCARDED
					      ? memory->layout->gone
					      : memory->layout->empty)))
		audit_report("guest %u: gfn %#lx has a malformed empty entry %#lx", memory->owner,
			(unsigned long)base, (unsigned long)entry);
	for (u64 frame = base; frame < end; frame++) {
		u64 state = memory->gfns[frame];

		walk->ballooned += state == memory_ballooned_entry(memory);
		walk->reported += state == GFN_REPORTED;
		walk->discarded += state == GFN_DISCARDED;
		if (unlikely(state != GFN_UNPOPULATED && state != GFN_MMIO &&
			     state != GFN_REPORTED && state != GFN_DISCARDED &&
			     !is_of_a_balloon(memory, state) && !is_moving(memory, frame) &&
			     !is_discarding(walk, state)))
			audit_report("guest %u: gfn %#lx is not mapped, but its entry is %#lx",
				memory->owner, (unsigned long)frame, (unsigned long)state);
	}
}

/* False if the table met before, or no table of this VM at all. */
static bool check_table(struct walk *walk, mfn_t table)
{
	if (!audit_met(table, FRAME_HYPERVISOR, walk->memory->owner, 1))
		return false;
	walk->tables++;
	return frame_of(table)->next == 1; /* twice: the sweep reports it */
}

/* Recursion is bounded by the four levels. */
static void walk_table(struct walk *walk, mfn_t at, u64 base, unsigned level)
{
	const struct nested_layout *layout = walk->memory->layout;
	const u64 *table = mfn_to_ptr(at);
	u64 hints = layout->accessed | layout->dirty;

	for (unsigned i = 0; i < NESTED_ENTRIES; i++, base += nested_span(level)) {
		u64 entry = table[i];
		mfn_t next = hpa_to_mfn(hpa(entry & NESTED_HPA));

		if (!(entry & layout->present)) {
			check_absent(walk, base, entry, level);
		} else if (nested_is_leaf(layout, entry, level)) {
			check_leaf(walk, base, entry, level);
		} else {
			if (unlikely((entry & ~NESTED_HPA & ~hints) != (layout->table & ~hints)))
				audit_report("guest %u: gfn %#lx has a malformed entry %#lx at "
					     "level %u",
					walk->memory->owner, (unsigned long)base,
					(unsigned long)entry, level);
			if (check_table(walk, next))
				walk_table(walk, next, base, level - 1);
		}
	}
}

static void compare(const struct memory *memory, const char *what, u64 found, u64 counter)
{
	if (found != counter)
		audit_report("guest %u: %lu %s, but the counter says %lu", memory->owner,
			(unsigned long)found, what, (unsigned long)counter);
}

/* The block that is to be filled, and the table that stands aside meanwhile. */
static void audit_collapse(struct walk *walk)
{
	const struct collapse *collapse = &walk->memory->collapse;
	mfn_t table = hpa_to_mfn(hpa(collapse->table & NESTED_HPA));

	if (!collapse->active)
		return;
	for (u64 i = 0; i < BLOCK_PAGES; i++)
		audit_met(mfn(collapse->block.raw + i), FRAME_GUEST, walk->memory->owner, 1);
	walk->mapped = GFN_MOVING;
	if (check_table(walk, table))
		walk_table(walk, table, collapse->base, 1);
	walk->mapped = GFN_RAM;
}

/* Pages on their way to the store, and frames kept for those. */
static void audit_flip(struct walk *walk)
{
	const struct memory *memory = walk->memory;
	const struct flip *flip = &memory->flip;
	u64 pending = 0;

	for (u32 i = 0; i < VCPUS_MAX; i++) {
		u64 frame = flip->pending[i].gfn, entry;

		if (!flip->pending[i].active)
			continue;
		pending++;
		entry = frame < memory->gfn_count ? memory->gfns[frame] : 0;
		if ((entry & ~GFN_HPA) != GFN_MOVING || !memory_flips(memory, frame, 1))
			audit_report("guest %u: gfn %#lx is to be flipped, but its entry is %#lx",
				memory->owner, (unsigned long)frame, (unsigned long)entry);
		else
			audit_met(hpa_to_mfn(hpa(entry & GFN_HPA)), FRAME_GUEST, memory->owner, 1);
		walk->populated++;
	}
	for (u32 i = 0; i < MIN(flip->spare_count, FLIP_SPARES); i++)
		audit_met(mfn(flip->spares[i]), FRAME_GUEST, memory->owner, 1);
	compare(memory, "pages to be flipped", pending, flip->pending_count);
}

void audit_memory(const struct vm *vm)
{
	const struct memory *memory = &vm->memory;
	struct walk walk = {.vm = vm, .memory = memory, .mapped = GFN_RAM};
	u64 table_bytes = ROUND_UP(memory->gfn_count * sizeof(u64), PAGE_SIZE);

	if (!memory->gfns)
		return;
	for (u64 offset = 0; offset < table_bytes; offset += PAGE_SIZE)
		audit_met(ptr_to_mfn((u8 *)memory->gfns + offset), FRAME_HYPERVISOR, memory->owner,
			1);
	if (memory->idle)
		audit_met(ptr_to_mfn(memory->idle), FRAME_HYPERVISOR, memory->owner, 1);
	for (u64 i = 0; memory->huge.active && i < HUGE_PAGES; i++, walk.populated++)
		audit_met(mfn(memory->huge.frame.raw + i), FRAME_GUEST, memory->owner, 1);
	if (check_table(&walk, hpa_to_mfn(memory->root)))
		walk_table(&walk, hpa_to_mfn(memory->root), 0, NESTED_LEVELS);
	audit_collapse(&walk);
	audit_flip(&walk);
	compare(memory, "pages populated", walk.populated, memory->populated_pages);
	compare(memory, "pages shared", walk.shared, memory->shared_pages);
	compare(memory, "pages ballooned", walk.ballooned, memory->ballooned_pages);
	compare(memory, "pages reported free", walk.reported, memory->reported_pages);
	compare(memory, "pages being discarded", walk.discarding, memory->discards.left);
	compare(memory, "pages discarded", walk.discarded, memory->discarded_pages);
	compare(memory, "nested tables", walk.tables, memory->table_pages);
	compare(memory, "2 MiB pages", walk.large, memory->large_pages);
	compare(memory, "1 GiB pages", walk.huge, memory->huge_pages);
}
