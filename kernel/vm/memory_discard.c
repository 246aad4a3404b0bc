/*
 * Discarding volatile pages. A page that may go is unmapped first, and becomes GFN_DISCARDING: as
 * long as that lasts a touch brings it back. When every CPU has passed the epoch that began then,
 * nobody can reach it, and only then is the guest told, by the swap of its state byte: so a guest
 * that finds a page discarded cannot have written it since, and one that makes it stable in time
 * has it back. One such group of pages a VM is under way.
 *
 * LOCK_DISCARD is held wherever memory of a VM is worked on that is not the caller's, so that it
 * cannot go meanwhile; the VM's LOCK_MEMORY guards the pages.
 */
#include <abi/volatile.h>

#include "kernel/core/bug.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/memory_volatile.h"

/* State bytes that are looked at for one group at most, and guests in one call (both twice). */
#define LOOK_MAX   8192U
#define GUESTS_MAX 4U

static struct spinlock discard_lock = SPINLOCK(LOCK_DISCARD);
static u64 expected;        /* a bit for each VM slot whose guest has volatile pages */
static u64 under_way;       /* a bit for each VM slot with pages under way */
static unsigned clock_slot; /* whose guest's hand is the clock's; LOCK_DISCARD */
_Static_assert(VMS_MAX == 64, "a bit for each");

static u64 slot_bit(const struct memory *memory)
{
	return BIT(memory->owner - 1);
}

/* ---- Pages; LOCK_MEMORY is held ------------------------------------------------------------- */

/* The table is there: a block that goes as a whole cancels what is under way. */
static void bring_back(struct memory *memory, u64 frame)
{
	u64 host = memory->gfns[frame] & GFN_HPA;
	u64 *slot = nested_small(memory, frame);

	ASSERT(slot);
	nested_set_small(memory, slot, hpa_to_mfn(hpa(host)));
	WRITE_ONCE(memory->gfns[frame], host | GFN_RAM);
	memory->discards.left--;
	memory->rescued++;
}

static void end_group(struct memory *memory)
{
	ASSERT(!memory->discards.left);
	memory->discards.count = 0;
	__atomic_fetch_and(&under_way, ~slot_bit(memory), __ATOMIC_SEQ_CST);
}

void memory_discard_cancel(struct memory *memory, u64 first, u64 pages)
{
	const struct discards *discards = &memory->discards;

	for (u32 i = 0; i < discards->count; i++) {
		u64 frame = discards->frames[i];

		if (frame - first < pages && (memory->gfns[frame] & GFN_STATE) == GFN_DISCARDING)
			bring_back(memory, frame);
	}
	if (discards->count && !discards->left)
		end_group(memory);
}

void memory_discard_touch(struct vm *vm, u64 frame, bool keep)
{
	struct memory *memory = &vm->memory;
	u8 *state;

	spin_lock(&memory->lock);
	if ((memory->gfns[frame] & GFN_STATE) == GFN_DISCARDING) {
		state = keep ? memory_volatile_state(memory, frame) : NULL;
		if (state)
			(void)memory_volatile_swap(state, VOLATILE_VOLATILE, VOLATILE_STABLE);
		bring_back(memory, frame);
	}
	spin_unlock(&memory->lock);
}

/* Nobody can reach these pages any more. */
static void finish_group(struct memory *memory)
{
	struct discards *discards = &memory->discards;

	for (u32 i = 0; i < discards->count; i++) {
		u64 frame = discards->frames[i], entry = memory->gfns[frame];
		u8 *state;

		if ((entry & GFN_STATE) != GFN_DISCARDING)
			continue;
		state = memory_volatile_state(memory, frame);
		if (!state || !memory_volatile_swap(state, VOLATILE_VOLATILE, VOLATILE_DISCARDED)) {
			bring_back(memory, frame);
			continue;
		}
		WRITE_ONCE(memory->gfns[frame], GFN_DISCARDED);
		nested_set_gone(memory, frame, true);
		memory->populated_pages--;
		memory->discarded_pages++;
		memory->discarded++;
		discards->left--;
		frame_free(hpa_to_mfn(hpa(entry & GFN_HPA)), 0);
	}
	end_group(memory);
}

/* Whether the page was used since the hand came by last, where the processor tells. Processors must
 * forget it then, to tell again. */
static bool was_used(struct memory *memory, u64 frame)
{
	u64 accessed = memory->layout->accessed;
	unsigned level;
	u64 *leaf = nested_lookup(memory, frame, &level);

	if (!(__atomic_fetch_and(leaf, ~accessed, __ATOMIC_RELAXED) & accessed))
		return false;
	memory->discards.flush = true;
	return true;
}

/* Unmaps @frame if it may go, and with @spare only if it was not used. */
static void take_page(struct memory *memory, u64 frame, bool spare)
{
	struct discards *discards = &memory->discards;
	u64 *slot = &memory->gfns[frame], entry = READ_ONCE(*slot);

	if ((entry & GFN_STATE) != GFN_RAM || entry >> GFN_PIN_SHIFT ||
		memory_volatile_holds_states(memory, frame))
		return;
	/* There may be no frame for the table of a split; and somebody may pin it at this moment.
	 */
	if (nested_split(memory, frame, 1) || (was_used(memory, frame) && spare) ||
		!__atomic_compare_exchange_n(slot, &entry, (entry & GFN_HPA) | GFN_DISCARDING,
			false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	nested_detach(memory, frame, 1);
	discards->frames[discards->count++] = frame;
}

/* How many pages from the hand on, at most @most, have one page for their state bytes. */
static u64 run_at_hand(const struct volatile_area *area, u64 most)
{
	return MIN(MIN(most, area->pages - area->hand), PAGE_SIZE - area->hand % PAGE_SIZE);
}

/* Fills the group with volatile pages from the hand on. True if it came to the end of the range,
 * and stands at its beginning. */
static bool look_for_pages(struct memory *memory, bool spare)
{
	struct volatile_area *area = &memory->volatiles;

	for (u64 left = LOOK_MAX; left > 0;) {
		u64 run = run_at_hand(area, left);
		const u8 *states = memory_volatile_state(memory, area->first + area->hand);

		for (u64 i = 0; states && i < run; i++) {
			if ((READ_ONCE(states[i]) & VOLATILE_STATE) != VOLATILE_VOLATILE)
				continue;
			take_page(memory, area->first + area->hand + i, spare);
			if (memory->discards.count == DISCARD_PAGES) {
				area->hand += i;
				return false;
			}
		}
		left -= run;
		area->hand += run;
		if (area->hand == area->pages) {
			area->hand = 0;
			return true;
		}
	}
	return false;
}

/* ---- Guests; LOCK_DISCARD is held ----------------------------------------------------------- */

/* Unmaps a group of the guest's volatile pages, with @spare only such as were not used. */
static void begin(struct vm *vm, bool spare)
{
	struct memory *memory = &vm->memory;
	struct discards *discards = &memory->discards;
	bool at_end = true;
	u64 epoch = 0;

	spin_lock(&memory->lock);
	discards->flush = false;
	if (memory->volatiles.active && !discards->count)
		at_end = look_for_pages(memory, spare);
	discards->left = discards->count;
	if (discards->count || discards->flush)
		__atomic_fetch_add(&memory->generation, 1, __ATOMIC_RELEASE);
	if (discards->count) {
		discards->epoch = epoch = epoch_advance();
		__atomic_fetch_or(&under_way, slot_bit(memory), __ATOMIC_SEQ_CST);
	}
	spin_unlock(&memory->lock);
	if (epoch)
		epoch_kick(epoch);
	if (at_end && clock_slot == memory->owner - 1U)
		clock_slot = (clock_slot + 1) % VMS_MAX;
}

/* Whether @vm may be taken from: it has more than it is entitled to, or is to get the frame itself.
 */
static bool may_give(const struct vm *vm, const struct vm *asking)
{
	return vm && (vm == asking || READ_ONCE(vm->memory.populated_pages) > vm->entitled_pages);
}

/* The next guest of those in *@slots, from the clock's on, who may give; he is taken out of them.
 */
static struct vm *next_giver(u64 *slots, const struct vm *asking)
{
	while (*slots) {
		u64 from_clock = *slots & ~(BIT(clock_slot) - 1);
		unsigned slot = (unsigned)__builtin_ctzl(from_clock ? from_clock : *slots);
		struct vm *vm = vm_at(slot);

		*slots &= ~BIT(slot);
		if (may_give(vm, asking))
			return vm;
		if (slot == clock_slot)
			clock_slot = (clock_slot + 1) % VMS_MAX;
	}
	return NULL;
}

static void finish_passed(void)
{
	for (u64 slots = READ_ONCE(under_way); slots; slots &= slots - 1) {
		struct vm *vm = vm_at((unsigned)__builtin_ctzl(slots));

		spin_lock(&vm->memory.lock);
		if (vm->memory.discards.count && epoch_passed(vm->memory.discards.epoch))
			finish_group(&vm->memory);
		spin_unlock(&vm->memory.lock);
	}
}

static u64 pages_under_way(void)
{
	u64 pages = 0;

	for (u64 slots = READ_ONCE(under_way); slots; slots &= slots - 1)
		pages += READ_ONCE(vm_at((unsigned)__builtin_ctzl(slots))->memory.discards.left);
	return pages;
}

static void begin_for(struct vm *vm, bool spare)
{
	u64 slots = READ_ONCE(expected) & ~READ_ONCE(under_way);

	for (unsigned n = 0; n < GUESTS_MAX && !memory_frames_suffice(vm, pages_under_way()); n++) {
		struct vm *giver = next_giver(&slots, vm);

		if (!giver)
			return;
		begin(giver, spare);
	}
}

void memory_discard(struct vm *vm)
{
	if (likely(!READ_ONCE(expected)))
		return;
	spin_lock(&discard_lock);
	finish_passed();
	begin_for(vm, true);
	/* Used pages are spared once, but not if there are no others and a guest is in need. */
	if (vm && !READ_ONCE(under_way))
		begin_for(vm, false);
	spin_unlock(&discard_lock);
}

void memory_discards_finish(void)
{
	if (likely(!READ_ONCE(under_way)))
		return;
	spin_lock(&discard_lock);
	finish_passed();
	spin_unlock(&discard_lock);
}

unsigned memory_discard_guests(void)
{
	return (unsigned)__builtin_popcountl(READ_ONCE(expected));
}

bool memory_discards_are_under_way(void)
{
	return READ_ONCE(under_way) != 0;
}

void memory_discard_expect(const struct memory *memory, bool pages)
{
	if (pages)
		__atomic_fetch_or(&expected, slot_bit(memory), __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&expected, ~slot_bit(memory), __ATOMIC_SEQ_CST);
}

void memory_volatile_close(struct vm *vm)
{
	struct memory *memory = &vm->memory;

	if (!(READ_ONCE(expected) & slot_bit(memory)))
		return;
	spin_lock(&discard_lock);
	spin_lock(&memory->lock);
	memory_discard_cancel(memory, 0, memory->gfn_count);
	memory->volatiles.active = false;
	memory_discard_expect(memory, false);
	spin_unlock(&memory->lock);
	spin_unlock(&discard_lock);
}
