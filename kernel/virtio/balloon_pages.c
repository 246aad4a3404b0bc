/*
 * The queues of pages: arrays of 32-bit frame numbers to inflate and deflate, and ranges reported
 * free (virtio 1.2, 5.5.6). Frame numbers in a row that fill a 2 MiB block are moved as one. A
 * chain is worked off in bounded steps: it stays at the head of its queue, is read anew at each
 * step, and only how many of its pages are done is kept, so that whatever the driver changes
 * meanwhile is checked as it is used.
 */
#include "kernel/virtio/balloon_state.h"

#include <abi/errno.h>
#include <string.h>

/* The work of one call in pages; a block costs some of that, since it may be in small pages. */
#define BUDGET     512u
#define BLOCK_COST 128u

#define NUMBERS_MAX 64u /* frame numbers read at once */

/* A run of pages in one block: [first, first + pages). */
struct run {
	u64 first;
	u64 pages;
};

static const char *const actions[BALLOON_QUEUES] = {
	[BALLOON_INFLATE] = "inflates",
	[BALLOON_DEFLATE] = "deflates",
	[BALLOON_REPORTING] = "reports as free",
};

static int apply(struct vm *vm, enum balloon_queue queue, u64 frame, unsigned order)
{
	switch (queue) {
	case BALLOON_INFLATE:
		return memory_inflate(vm, gfn(frame), order);
	case BALLOON_DEFLATE:
		return memory_deflate(vm, gfn(frame), order);
	default:
		return memory_report(vm, gfn(frame), order);
	}
}

static __attribute__((noinline)) enum balloon_outcome refuse(
	struct vm *vm, enum balloon_queue queue, u64 frame, int error)
{
	const char *why = "is not RAM";

	if (error == -SLUICE_ENOMEM)
		return BALLOON_LATER;
	if (error == -SLUICE_EBUSY)
		why = "is pinned by I/O";
	else if (error == -SLUICE_EINVAL)
		why = queue == BALLOON_DEFLATE ? "is not in the balloon" : "is in the balloon";
	vm_complain(vm, "balloon: %s gfn %#lx, which %s; RAM ends at gfn %#lx", actions[queue],
		(unsigned long)frame, why, (unsigned long)vm->memory.gfn_count);
	return BALLOON_BROKEN;
}

static __attribute__((noinline)) enum balloon_outcome refuse_chain(
	struct vm *vm, const char *what, u64 address, u64 bytes)
{
	vm_complain(vm, "balloon: %s of %lu bytes at %#lx", what, (unsigned long)bytes,
		(unsigned long)address);
	return BALLOON_BROKEN;
}

/* Moves a run, or as much of it as the budget allows. */
static enum balloon_outcome move_run(struct virtio_balloon *balloon, enum balloon_queue queue,
	const struct run *run, u32 *budget)
{
	struct vm *vm = balloon->device.vm;
	int error;

	if (run->pages == BLOCK_PAGES) {
		*budget -= MIN(*budget, BLOCK_COST);
		error = apply(vm, queue, run->first, BLOCK_ORDER);
		if (!error)
			balloon->done[queue] += BLOCK_PAGES;
		if (!error || error == -SLUICE_ENOMEM)
			return error ? BALLOON_LATER : BALLOON_IDLE;
		/* Page by page, so that the message names the one that is wrong. */
	}
	for (u64 i = 0; i < run->pages; i++, --*budget) {
		if (!*budget)
			break;
		error = apply(vm, queue, run->first + i, 0);
		if (error)
			return refuse(vm, queue, run->first + i, error);
		balloon->done[queue]++;
	}
	return BALLOON_IDLE;
}

/* ---- Where the pages stand in a chain -----------------------------------------------------------
 */

/* Bytes [offset, offset + bytes) of what the device reads of the chain. */
static int read_chain(
	struct vm *vm, const struct virtq_chain *chain, u64 offset, void *to, u64 bytes)
{
	u8 *out = to;

	for (unsigned i = 0; i < chain->readable && bytes > 0; i++) {
		const struct virtq_buffer *buffer = &chain->buffers[i];
		u64 part;
		int error;

		if (offset >= buffer->bytes) {
			offset -= buffer->bytes;
			continue;
		}
		part = MIN(buffer->bytes - offset, bytes);
		if (buffer->address > ~0UL - buffer->bytes)
			return -SLUICE_EFAULT;
		error = memory_read(vm, gpa(buffer->address + offset), out, part);
		if (error)
			return error;
		out += part;
		bytes -= part;
		offset = 0;
	}
	return 0;
}

/* The run of consecutive frame numbers from number @at of @count on, cut where a block begins. */
static int next_in_array(
	struct vm *vm, const struct virtq_chain *chain, u64 at, u64 count, struct run *run)
{
	u32 numbers[NUMBERS_MAX];

	run->pages = 0;
	while (at < count) {
		u64 part = MIN(count - at, (u64)NUMBERS_MAX);
		int error = read_chain(vm, chain, at * sizeof(u32), numbers, part * sizeof(u32));

		if (error)
			return error;
		for (u64 i = 0; i < part; i++, run->pages++) {
			if (run->pages == 0)
				run->first = numbers[i];
			else if (numbers[i] != run->first + run->pages ||
				 numbers[i] % BLOCK_PAGES == 0)
				return 0;
		}
		at += part;
	}
	return 0;
}

/* The rest of the range that page @at of the chain lies in, cut where a block begins. */
static void next_in_ranges(const struct virtq_chain *chain, u64 at, struct run *run)
{
	for (unsigned i = 0; i < chain->count; i++) {
		const struct virtq_buffer *buffer = &chain->buffers[i];
		u64 pages = buffer->bytes >> PAGE_SHIFT;

		if (at < pages) {
			run->first = (buffer->address >> PAGE_SHIFT) + at;
			run->pages = MIN(pages - at, BLOCK_PAGES - run->first % BLOCK_PAGES);
			return;
		}
		at -= pages;
	}
	run->pages = 0;
}

/* How many pages the chain names; false after a message if it cannot be. */
static bool count_pages(
	struct vm *vm, enum balloon_queue queue, const struct virtq_chain *chain, u64 *count)
{
	unsigned buffers = queue == BALLOON_REPORTING ? chain->count : chain->readable;
	u64 bytes = 0;

	for (unsigned i = 0; i < buffers; i++) {
		const struct virtq_buffer *buffer = &chain->buffers[i];

		if (queue == BALLOON_REPORTING && ((buffer->address | buffer->bytes) & PAGE_MASK)) {
			refuse_chain(vm, "a range reported free that is not of whole pages, but",
				buffer->address, buffer->bytes);
			return false;
		}
		bytes += buffer->bytes;
	}
	if (queue != BALLOON_REPORTING && bytes % sizeof(u32)) {
		refuse_chain(vm, "an array that is not of 32-bit frame numbers, but",
			chain->buffers[0].address, bytes);
		return false;
	}
	*count = queue == BALLOON_REPORTING ? bytes >> PAGE_SHIFT : bytes / sizeof(u32);
	return true;
}

/* ---- Queues ------------------------------------------------------------------------------------
 */

/* Goes on with balloon->chain, the head of @queue. */
static enum balloon_outcome serve_chain(
	struct virtio_balloon *balloon, enum balloon_queue queue, u32 *budget)
{
	const struct virtq_chain *chain = &balloon->chain;
	struct vm *vm = balloon->device.vm;
	u64 *done = &balloon->done[queue];
	u64 count;

	if (!count_pages(vm, queue, chain, &count))
		return BALLOON_BROKEN;
	while (*done < count) {
		enum balloon_outcome outcome;
		struct run run;
		int error = 0;

		if (*budget == 0)
			return BALLOON_MORE;
		if (queue == BALLOON_REPORTING)
			next_in_ranges(chain, *done, &run);
		else
			error = next_in_array(vm, chain, *done, count, &run);
		if (error)
			return error == -SLUICE_ENOMEM
				       ? BALLOON_LATER
				       : refuse_chain(vm, "an array of frame numbers outside RAM,",
						 chain->buffers[0].address, count * sizeof(u32));
		outcome = move_run(balloon, queue, &run, budget);
		if (outcome != BALLOON_IDLE)
			return outcome;
	}
	return BALLOON_IDLE;
}

static enum balloon_outcome serve_queue(
	struct virtio_balloon *balloon, enum balloon_queue queue, u32 *budget, bool *pushed)
{
	struct virtqueue *rings = &balloon->device.queues[queue].rings;
	enum balloon_outcome outcome;
	struct virtq_error error;
	bool any = false;

	for (;;) {
		enum virtq_state state = virtqueue_peek(rings, &balloon->chain, &error);

		if (state == VIRTQ_EMPTY)
			outcome = BALLOON_IDLE;
		else if (*budget == 0)
			outcome = BALLOON_MORE;
		else if (state == VIRTQ_CHAIN)
			outcome = serve_chain(balloon, queue, budget);
		else
			outcome = BALLOON_BROKEN;
		if (state == VIRTQ_BROKEN)
			virtio_complain(&balloon->device, "balloon", &error);
		if (state != VIRTQ_CHAIN || outcome != BALLOON_IDLE)
			break;
		balloon->done[queue] = 0;
		*budget -= MIN(*budget, 1u); /* empty chains are work, too */
		virtqueue_take(rings);
		virtqueue_push(rings, balloon->chain.head, 0);
		any = true;
	}
	if (any && outcome != BALLOON_BROKEN && virtqueue_wants_interrupt(rings))
		*pushed = true;
	return outcome;
}

enum balloon_outcome balloon_serve_pages(struct virtio_balloon *balloon, bool *pushed)
{
	/* What gives memory back comes first. */
	static const u8 order[] = {BALLOON_INFLATE, BALLOON_REPORTING, BALLOON_DEFLATE};
	enum balloon_outcome worst = BALLOON_IDLE;
	u32 budget = BUDGET;

	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		enum balloon_outcome outcome = serve_queue(balloon, order[i], &budget, pushed);

		worst = MAX(worst, outcome);
		if (worst == BALLOON_BROKEN)
			break;
	}
	return worst;
}
