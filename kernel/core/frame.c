/*
 * The frame allocator: a binary buddy system over the frame table (Knuth, TAOCP vol. 1, 2.5). Free
 * blocks are linked through their first frames; the others of a block carry FRAME_NO_ORDER.
 * LOCK_FRAMES guards lists and counters; a frame's own fields belong to whoever holds the frame.
 */
#include "kernel/core/frame.h"

#include "kernel/core/bug.h"
#include "kernel/core/frame_internal.h"

struct frames frames = {.lock = SPINLOCK(LOCK_FRAMES)};

static void list_push(u32 first, unsigned order)
{
	struct frame *frame = &frames.table[first];
	u32 head = frames.heads[order];

	frame->order = (u8)order;
	frame->next = head;
	frame->prev = FRAME_NONE;
	if (head != FRAME_NONE)
		frames.table[head].prev = first;
	frames.heads[order] = first;
	frames.nonempty |= 1U << order;
}

static void list_remove(u32 first, unsigned order)
{
	struct frame *frame = &frames.table[first];

	if (frame->prev != FRAME_NONE)
		frames.table[frame->prev].next = frame->next;
	else
		frames.heads[order] = frame->next;
	if (frame->next != FRAME_NONE)
		frames.table[frame->next].prev = frame->prev;
	if (frames.heads[order] == FRAME_NONE)
		frames.nonempty &= ~(1U << order);
	frame->order = FRAME_NO_ORDER;
}

void frames_insert(u32 first, unsigned order)
{
	while (order < FRAME_MAX_ORDER) {
		u32 buddy = first ^ (1U << order);

		if (buddy >= frames.end || frames.table[buddy].class != FRAME_FREE ||
			frames.table[buddy].order != order)
			break;
		list_remove(buddy, order);
		first &= buddy;
		order++;
	}
	list_push(first, order);
}

/* Takes the first block off a list that is not empty. */
static inline u32 list_pop(unsigned order)
{
	u32 first = frames.heads[order];
	u32 next = frames.table[first].next;

	frames.heads[order] = next;
	if (next == FRAME_NONE)
		frames.nonempty &= ~(1U << order);
	else
		frames.table[next].prev = FRAME_NONE;
	return first;
}

/*
 * Takes a block of exactly @order off the lists; FRAME_NONE if there is none. A larger one is
 * split: as it was the smallest, the lists of all orders in between are empty, and each gets one
 * half.
 */
static inline u32 take_block(unsigned order)
{
	u32 fitting = frames.nonempty >> order << order;
	unsigned from, half;
	u32 first;

	if (unlikely(!fitting))
		return FRAME_NONE;
	from = (unsigned)__builtin_ctz(fitting);
	first = list_pop(from);
	for (half = from; half-- > order;) {
		u32 upper = first + (1U << half);
		struct frame *frame = &frames.table[upper];

		frame->order = (u8)half;
		frame->next = frame->prev = FRAME_NONE;
		frames.heads[half] = upper;
	}
	frames.nonempty |= (1U << from) - (1U << order);
	return first;
}

static void hand_out(u64 at, enum frame_class class, u16 owner)
{
	struct frame *frame = &frames.table[at];

	frame->class = (u8) class;
	frame->order = FRAME_NO_ORDER;
	frame->owner = owner;
	frame->refs = 1;
}

/* Order 0: most calls, some of them in a guest's nested fault. */
static mfn_t alloc_single(enum frame_class class, u16 owner, u64 keep)
{
	u32 first = FRAME_NONE;

	spin_lock(&frames.lock);
	if (likely(frames.count[FRAME_FREE] > keep))
		first = take_block(0);
	if (unlikely(first == FRAME_NONE)) {
		spin_unlock(&frames.lock);
		return MFN_NONE;
	}
	hand_out(first, class, owner);
	frames.count[FRAME_FREE]--;
	frames.count[class]++;
	spin_unlock(&frames.lock);
	return mfn(first);
}

static mfn_t alloc_block(enum frame_class class, unsigned order, u16 owner, u64 keep)
{
	u64 pages = 1UL << order;
	u32 first = FRAME_NONE;

	spin_lock(&frames.lock);
	if (order <= FRAME_MAX_ORDER && frames.count[FRAME_FREE] >= pages + keep)
		first = take_block(order);
	if (first == FRAME_NONE) {
		spin_unlock(&frames.lock);
		return MFN_NONE;
	}
	for (u64 i = 0; i < pages; i++)
		hand_out(first + i, class, owner);
	frames.count[FRAME_FREE] -= pages;
	frames.count[class] += pages;
	spin_unlock(&frames.lock);
	return mfn(first);
}

mfn_t frame_alloc(enum frame_class class, unsigned order, u16 owner)
{
	u64 keep = class == FRAME_TMEM ? frames_reserve() : 0;

	if (order == 0)
		return alloc_single(class, owner, keep);
	return alloc_block(class, order, owner, keep);
}

/* One frame on its way to the free lists. */
static COLD void check_freed(u64 at)
{
	const struct frame *frame = &frames.table[at];

	if (unlikely(at >= frames.end || frame->class <= FRAME_FREE ||
		     frame->class >= FRAME_CLASSES || frame->refs != 1))
		BUG("frame %#lx freed with class %u and %u references", (unsigned long)at,
			at < frames.end ? frame->class : 0, at < frames.end ? frame->refs : 0);
}

void frame_free(mfn_t first, unsigned order)
{
	u64 pages = 1UL << order;

	ASSERT(order <= FRAME_MAX_ORDER && first.raw % pages == 0);
	spin_lock(&frames.lock);
	for (u64 i = 0; i < pages; i++) {
		struct frame *frame = &frames.table[first.raw + i];

		check_freed(first.raw + i);
		frames.count[frame->class]--;
		*frame = (struct frame){.class = FRAME_FREE, .order = FRAME_NO_ORDER};
	}
	frames.count[FRAME_FREE] += pages;
	frames_insert((u32)first.raw, order);
	spin_unlock(&frames.lock);
}

void frames_change_class(
	mfn_t first, u64 pages, enum frame_class from, enum frame_class to, u16 owner)
{
	ASSERT(from > FRAME_FREE && to > FRAME_FREE && first.raw + pages <= frames.end);
	spin_lock(&frames.lock);
	for (u64 at = first.raw; at < first.raw + pages; at++) {
		struct frame *frame = &frames.table[at];

		if (unlikely(frame->class != from))
			BUG("frame %#lx has class %u, not %u", (unsigned long)at, frame->class,
				from);
		frame->class = (u8)to;
		frame->owner = owner;
	}
	frames.count[from] -= pages;
	frames.count[to] += pages;
	spin_unlock(&frames.lock);
}

void frame_change_class(mfn_t at, enum frame_class from, enum frame_class to, u16 owner)
{
	frames_change_class(at, 1, from, to, owner);
}

void frame_get(mfn_t at)
{
	if (unlikely(__atomic_fetch_add(&frames.table[at.raw].refs, 1, __ATOMIC_RELAXED) == 0))
		BUG("frame %#lx is used, but has no reference", (unsigned long)at.raw);
}

void frame_put(mfn_t at)
{
	if (unlikely(__atomic_fetch_sub(&frames.table[at.raw].refs, 1, __ATOMIC_RELAXED) <= 1))
		BUG("frame %#lx lost its last reference without being freed",
			(unsigned long)at.raw);
}

COLD void *hypervisor_alloc(unsigned order)
{
	mfn_t first = frame_alloc(FRAME_HYPERVISOR, order, 0);
	u8 *pages;

	if (mfn_is_none(first))
		return NULL;
	pages = mfn_to_ptr(first);
	for (u64 i = 0; i < 1UL << order; i++)
		arch_clear_page(pages + i * PAGE_SIZE);
	return pages;
}

void hypervisor_free(void *pages, unsigned order)
{
	frame_free(ptr_to_mfn(pages), order);
}

COLD void *hypervisor_alloc_pages(u64 pages, u16 owner)
{
	unsigned order = order_of(pages * PAGE_SIZE);
	mfn_t first = frame_alloc(FRAME_HYPERVISOR, order, owner);
	u8 *table;

	if (mfn_is_none(first))
		return NULL;
	for (u64 tail = pages; tail < 1UL << order; tail++)
		frame_free(mfn(first.raw + tail), 0);
	table = mfn_to_ptr(first);
	for (u64 i = 0; i < pages; i++)
		arch_clear_page(table + i * PAGE_SIZE);
	return table;
}

COLD void hypervisor_free_pages(void *table, u64 pages)
{
	mfn_t first = ptr_to_mfn(table);

	for (u64 i = 0; i < pages; i++)
		frame_free(mfn(first.raw + i), 0);
}

unsigned order_of(u64 bytes)
{
	u64 pages = ROUND_UP(bytes, PAGE_SIZE) / PAGE_SIZE;

	return pages <= 1 ? 0 : 64U - (unsigned)__builtin_clzl(pages - 1);
}

struct frame *frame_of(mfn_t at)
{
	if (at.raw >= frames.end || frames.table[at.raw].class == FRAME_ABSENT)
		return NULL;
	return &frames.table[at.raw];
}

struct frame *frames_table(void)
{
	return frames.table;
}

u64 frames_total(void)
{
	return frames.total;
}

u64 frames_end(void)
{
	return frames.end;
}

u64 frames_free(void)
{
	return READ_ONCE(frames.count[FRAME_FREE]);
}

u64 frames_of_class(enum frame_class class)
{
	return READ_ONCE(frames.count[class]);
}

__init void frames_update_reserve(void)
{
	u64 reserve = frames.reserve_wanted;

	if (reserve == 0)
		reserve = MAX(frames.total / 64, (u64)arch_cpu_count() * BLOCK_PAGES);
	WRITE_ONCE(frames.reserve, reserve);
}

__init void frames_set_reserve(u64 bytes)
{
	frames.reserve_wanted = ROUND_UP(bytes, PAGE_SIZE) / PAGE_SIZE;
	frames_update_reserve();
}

u64 frames_reserve(void)
{
	return READ_ONCE(frames.reserve);
}
