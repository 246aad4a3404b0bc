/*
 * See memory_idle.h. The guest's RAM is cut into 512 equal stretches, and in each stands one place,
 * anywhere in it but always the same: its page is looked at every tick. What the nested tables map
 * by one leaf was used together, so places under one 2 MiB page share its bit.
 *
 * No lock: only this CPU writes the state. Tables cannot go away while it looks, since a frame
 * leaves limbo only after this CPU has been at the head of its loop again; and an accessed bit is
 * cleared by an atomic AND, which does no harm to whatever another CPU has written there meanwhile.
 */
#include "kernel/vm/memory_idle.h"

#include <abi/errno.h>
#include <abi/platform.h>

#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/vm/commit.h"
#include "kernel/vm/memory_nested.h"

#define PLACES_SHIFT 9
#define PLACES       BIT(PLACES_SHIFT)

#define AGE_NONE 255U /* no frame stood there */
#define AGE_MAX  254U

#define PLACE_NONE ~0U

struct idle_memory {
	u32 place[PLACES]; /* gfns, ascending */
	u8 age[PLACES];    /* ticks since the place was last seen used */
	/* Of the last tick, in places. */
	u32 looked; /* with a frame */
	u32 idle[BALLOON_AGES], touched[BALLOON_AGES];
	u32 ticks; /* up to 2: then the figures mean something */
};
_Static_assert(sizeof(struct idle_memory) <= PAGE_SIZE, "one page a guest");

/* What one leaf said. */
struct seen {
	u64 base, pages;
	bool used;
};

/* Spreads @number over 32 bits: a multiplication by the golden ratio, and the high half mixed in.
 */
static u32 scatter(u32 number)
{
	number *= 0x9e3779b9U;
	return (number ^ number >> 15) * 0x85ebca6bU;
}

/* The guest frame of place @i in RAM that is cut into stretches, equal to within a page. There may
 * be fewer pages than places; and beyond 16 TiB no host has frames. */
static u32 place_of(const struct memory *memory, u32 i)
{
	u64 start = i * memory->ram_pages >> PLACES_SHIFT;
	u64 pages = ((i + 1) * memory->ram_pages >> PLACES_SHIFT) - start;
	u64 frame = start + (scatter(i ^ (u32)memory->owner << PLACES_SHIFT) * pages >> 32);

	if (frame >= PLATFORM_HOLE_START >> PAGE_SHIFT)
		frame += (PLATFORM_HOLE_END - PLATFORM_HOLE_START) >> PAGE_SHIFT;
	return pages && frame < PLACE_NONE ? (u32)frame : PLACE_NONE;
}

int memory_idle_create(struct memory *memory)
{
	static bool told;

	if (!memory->layout->accessed) {
		if (!told)
			log_info("idle memory is not known here: %s without accessed bits",
				memory->layout->name);
		told = true;
		return 0;
	}
	memory->idle = hypervisor_alloc_pages(1, memory->owner);
	if (!memory->idle)
		return -SLUICE_ENOMEM;
	commit_count_tables(1);
	for (u32 i = 0; i < PLACES; i++) {
		memory->idle->place[i] = place_of(memory, i);
		memory->idle->age[i] = AGE_NONE;
	}
	return 0;
}

void memory_idle_destroy(struct memory *memory)
{
	if (!memory->idle)
		return;
	hypervisor_free_pages(memory->idle, 1);
	commit_count_tables(-1);
	memory->idle = NULL;
}

/* Of an age of one tick or more: the logarithm. */
static unsigned class_of(unsigned age)
{
	return MIN(31U - (unsigned)__builtin_clz(age), BALLOON_AGES - 1);
}

/*
 * A 1 GiB page in use says nothing of its parts. Where the guest may have to give some of it up, it
 * is mapped by 2 MiB pages from now on. True if it was; it stays without a frame to spare for the
 * table.
 */
static bool split_huge(struct vm *vm, u64 frame)
{
	struct memory *memory = &vm->memory;
	bool split;

	if (vm->entitled_pages >= memory->ram_pages || frames_free() <= frames_reserve())
		return false;
	spin_lock(&memory->lock);
	split = nested_split(memory, frame, 2) == 0;
	spin_unlock(&memory->lock);
	return split;
}

/* Looks at the leaf of @frame. */
static struct seen look_at(struct memory *memory, u64 frame)
{
	const u64 accessed = memory->layout->accessed;
	unsigned level;
	u64 *entry = nested_lookup(memory, frame, &level);
	u64 pages = nested_span(level), value = READ_ONCE(*entry);
	struct seen seen = {frame & ~(pages - 1), pages, false};

	if ((value & memory->layout->present) && (value & accessed)) {
		__atomic_fetch_and(entry, ~accessed, __ATOMIC_RELAXED);
		seen.used = true;
	}
	return seen;
}

/* Another tick has passed over a place with a frame. */
static void note(struct idle_memory *state, u8 *age, bool used)
{
	unsigned before = *age;

	state->looked++;
	if (before == AGE_NONE) { /* it was filled in this tick */
		*age = 0;
		return;
	}
	*age = (u8)MIN(before + 1, AGE_MAX);
	if (used) {
		state->touched[class_of(*age)]++;
		*age = 0;
	} else {
		state->idle[class_of(*age)]++;
	}
}

void memory_idle_tick(struct vm *vm)
{
	struct memory *memory = &vm->memory;
	struct idle_memory *state = memory->idle;
	struct seen seen = {0};
	bool flush = false, looked_at_huge = false;

	if (!state || vm_is_stopped(vm))
		return;
	state->looked = 0;
	for (unsigned age = 0; age < BALLOON_AGES; age++)
		state->idle[age] = state->touched[age] = 0;
	for (u32 i = 0; i < PLACES; i++) {
		u64 frame = state->place[i], kind;

		if (frame == PLACE_NONE)
			continue;
		kind = READ_ONCE(memory->gfns[frame]) & GFN_STATE;
		if (kind != GFN_RAM && kind != GFN_MOVING) {
			state->age[i] = AGE_NONE;
			continue;
		}
		if (frame - seen.base >= seen.pages) {
			seen = look_at(memory, frame);
			flush |= seen.used;
			if (seen.pages == HUGE_PAGES && !looked_at_huge) {
				looked_at_huge = true; /* one a tick */
				flush |= split_huge(vm, frame);
			}
		}
		note(state, &state->age[i], seen.used);
	}
	state->ticks = MIN(state->ticks + 1, 2U);
	if (flush)
		__atomic_fetch_add(&memory->generation, 1, __ATOMIC_RELEASE);
}

bool memory_idle_sample(const struct vm *vm, u64 idle[BALLOON_AGES], u64 touched[BALLOON_AGES])
{
	const struct idle_memory *state = vm->memory.idle;
	u64 populated = READ_ONCE(vm->memory.populated_pages);

	if (!state || state->ticks < 2 || !state->looked)
		return false;
	for (unsigned age = 0; age < BALLOON_AGES; age++) {
		idle[age] = state->idle[age] * populated / state->looked;
		touched[age] = state->touched[age] * populated / state->looked;
	}
	return true;
}
