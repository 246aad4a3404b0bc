/*
 * See frames.h.
 */
#include "guest-shim/frames.h"

#include "guest-shim/cpu.h"
#include "guest-shim/panic.h"
#include "guest-shim/volatile.h"

struct frame *frames;
struct replace replace;
struct units units;

extern const char image_start[], image_end[];

/* The list of free frames: bare ones are handed out last, so that they stay bare. */
static u32 free_first = FRAME_NONE, free_last = FRAME_NONE;
static u32 free_count;
static u32 isolated_count;
static u32 total, start, end;

static u32 frame_of(const char *address)
{
	return (u32)((u64)address >> PAGE_SHIFT);
}

static bool is_image(u32 frame)
{
	return frame >= frame_of(image_start) && frame < frame_of(image_end);
}

static u32 highest_end(const struct start_info *info)
{
	u32 highest = 0;

	for (unsigned i = 0; i < info->ranges; i++)
		highest = MAX(highest, info->ram[i].end);
	return highest;
}

/* The first page of @pages in a row behind the image, in the range that holds it. */
static u32 room_behind_image(const struct start_info *info, u32 pages)
{
	u32 first = frame_of(image_end);

	for (unsigned i = 0; i < info->ranges; i++) {
		const struct memory_range *range = &info->ram[i];

		if (range->first <= first && first + pages <= range->end)
			return first;
	}
	panic("no room for the table of %u frames behind the image", (unsigned)highest_end(info));
}

/* In the list of free frames @next comes behind @before, or first, and @previous before @after, or
 * last. */
static void link(u32 before, u32 after, u32 next, u32 previous)
{
	if (before == FRAME_NONE)
		free_first = next;
	else
		frames[before].slot = next;
	if (after == FRAME_NONE)
		free_last = previous;
	else
		frames[after].key = previous;
}

/* @frame is at the first place of the list of free ones, or (@bare) at its last. */
static void insert(u32 frame, bool bare)
{
	u32 before = bare ? free_last : FRAME_NONE, after = bare ? FRAME_NONE : free_first;

	frames[frame] = (struct frame){
		.key = before, .slot = after, .kind = FRAME_FREE, .bare = bare};
	link(before, after, frame, frame);
	free_count++;
	unit_give(&units, frame, !bare);
	volatile_let_go(frame);
}

void frames_init(const struct start_info *info, u32 swappiness, bool volatiles)
{
	u32 count = highest_end(info);
	size_t descriptors = ROUND_UP(count * sizeof(struct frame), 64);
	size_t nodes = ROUND_UP(descriptors + count * sizeof(struct replace_node), 64);
	size_t tables = ROUND_UP(nodes + units_bytes(count), PAGE_SIZE);
	size_t states = volatile_bytes(volatiles, count);
	u32 pages = (u32)((tables + states) >> PAGE_SHIFT);
	u32 first = room_behind_image(info, pages);

	start = first + pages;
	end = count;
	for (u32 page = 0; page < pages; page++)
		page_zero(frame_pointer(first + page));
	frames = frame_pointer(first);
	replace_init(&replace, (void *)((char *)frames + descriptors), count, swappiness);
	units_init(&units, (void *)((char *)frames + nodes), count);
	volatile_init(states ? (u8 *)frames + tables : NULL, count);

	/* From the bottom up, so that the lowest are handed out first. */
	for (unsigned i = 0; i < info->ranges; i++) {
		for (u32 frame = info->ram[i].first; frame < info->ram[i].end; frame++) {
			if (is_image(frame) || (frame >= first && frame < first + pages))
				continue;
			total++;
			insert(frame, true);
		}
	}
}

u32 frames_take(void)
{
	u32 frame = free_first;

	if (frame != FRAME_NONE)
		frames_take_this(frame);
	return frame;
}

void frames_take_this(u32 frame)
{
	u32 before = frames[frame].key, after = frames[frame].slot;

	link(before, after, after, before);
	free_count--;
	unit_take(&units, frame, !frames[frame].bare);
	(void)volatile_keep(frame); /* what it had is of no interest */
	frames[frame] = (struct frame){.slot = SLOT_NONE, .kind = FRAME_RESERVED};
}

void frames_give(u32 frame)
{
	if (frames[frame].kind == FRAME_FREE)
		panic("frame %x is freed twice", (unsigned)frame);
	insert(frame, false);
}

void frames_lose(u32 frame)
{
	frames[frame] = (struct frame){.slot = FRAME_NONE, .kind = FRAME_BALLOON};
	total--;
}

void frames_regain(u32 frame)
{
	if (frames[frame].kind != FRAME_BALLOON)
		panic("frame %x comes out of the balloon, but was not in it", (unsigned)frame);
	total++;
	insert(frame, true);
}

void frames_isolate(u32 frame)
{
	frames[frame] = (struct frame){.slot = FRAME_NONE, .kind = FRAME_ISOLATED};
	isolated_count++;
}

void frames_reported(u32 frame)
{
	isolated_count--;
	insert(frame, true);
}

u32 frames_first(void)
{
	return start;
}

u32 frames_end(void)
{
	return end;
}

u32 frames_free(void)
{
	return free_count;
}

u32 frames_total(void)
{
	return total;
}

u32 frames_fixed(void)
{
	u32 movable = 0;

	for (unsigned list = 0; list < LISTS; list++)
		movable += replace_length(&replace, (enum replace_list)list);
	return total - free_count - isolated_count - movable;
}
