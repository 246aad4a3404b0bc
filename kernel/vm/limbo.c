/*
 * The queue of frames in limbo, linked through the frame table: next = the entry after, prev = the
 * low half of its epoch, order = its size. Entries come in about the order of their epochs; only
 * the head is looked at, so that an entry out of order merely waits a little longer.
 */
#include "kernel/vm/limbo.h"

#include "kernel/core/bug.h"
#include "kernel/core/lock.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/memory.h"

/* Bounds one call of limbo_drain(): entries, and frames beside the last entry. */
#define DRAIN_ENTRIES 64
#define DRAIN_FRAMES  1024

static struct {
	struct spinlock lock;
	u32 first, last;
	u64 frames;
	u64 kicked_epoch; /* CPUs were kicked for this one */
} limbo = {.lock = SPINLOCK(LOCK_LIMBO), .first = FRAME_NONE, .last = FRAME_NONE};

/* The whole epoch from its low half: it lies less than 2^32 behind the present. */
static u64 epoch_of(const struct frame *frame)
{
	u64 now = epoch_now();

	return now - (u32)((u32)now - frame->prev);
}

void limbo_add(mfn_t first, unsigned order, enum frame_class from, u64 epoch)
{
	struct frame *frame = frame_of(first);

	ASSERT(frame && (order == 0 || order == BLOCK_ORDER) && first.raw % (1UL << order) == 0);
	frames_change_class(first, 1UL << order, from, FRAME_LIMBO, 0);
	frame->order = (u8)order;
	frame->next = FRAME_NONE;
	frame->prev = (u32)epoch;

	spin_lock(&limbo.lock);
	if (limbo.last == FRAME_NONE)
		limbo.first = (u32)first.raw;
	else
		frame_of(mfn(limbo.last))->next = (u32)first.raw;
	limbo.last = (u32)first.raw;
	limbo.frames += 1UL << order;
	spin_unlock(&limbo.lock);
}

/* Takes the head if its epoch has passed; its order in @order. */
static mfn_t take_passed(unsigned *order)
{
	u32 first = limbo.first;
	struct frame *frame;

	if (first == FRAME_NONE)
		return MFN_NONE;
	frame = frame_of(mfn(first));
	if (!epoch_passed(epoch_of(frame)))
		return MFN_NONE;
	*order = frame->order;
	limbo.first = frame->next;
	if (limbo.first == FRAME_NONE)
		limbo.last = FRAME_NONE;
	limbo.frames -= 1UL << *order;
	frame->order = FRAME_NO_ORDER;
	return mfn(first);
}

/* CPUs that run a guest undisturbed would never pass: they are told once for all that waits now. */
static void hasten(void)
{
	u64 epoch;

	if (limbo.first == FRAME_NONE)
		return;
	epoch = epoch_of(frame_of(mfn(limbo.first)));
	if (epoch <= limbo.kicked_epoch || epoch_passed(epoch))
		return;
	limbo.kicked_epoch = epoch_now();
	epoch_kick(limbo.kicked_epoch);
}

void limbo_drain(void)
{
	u64 freed = 0;

	if (likely(READ_ONCE(limbo.frames) == 0))
		return;
	spin_lock(&limbo.lock);
	for (unsigned i = 0; i < DRAIN_ENTRIES && freed < DRAIN_FRAMES; i++) {
		unsigned order;
		mfn_t first = take_passed(&order);

		if (mfn_is_none(first))
			break;
		frame_free(first, order);
		freed += 1UL << order;
	}
	hasten();
	spin_unlock(&limbo.lock);
}

u64 limbo_frames(void)
{
	return READ_ONCE(limbo.frames);
}

u64 limbo_check(mfn_t *wrong)
{
	u64 seen = 0;
	u32 last = FRAME_NONE;

	for (u32 at = limbo.first; at != FRAME_NONE; at = frame_of(mfn(at))->next) {
		struct frame *head = frame_of(mfn(at));

		*wrong = mfn(at);
		if (!head || (head->order != 0 && head->order != BLOCK_ORDER) ||
			at % (1U << head->order) != 0)
			return 1;
		for (u32 i = 0; i < 1U << head->order; i++) {
			struct frame *frame = frame_of(mfn(at + i));

			if (!frame || frame->class != FRAME_LIMBO || frame->refs != 1)
				return 1;
			frame->class = FRAME_LIMBO | FRAME_MARK;
		}
		seen += 1UL << head->order;
		last = at;
	}
	*wrong = limbo.first == FRAME_NONE ? mfn(0) : mfn(limbo.first);
	return seen != limbo.frames || last != limbo.last;
}
