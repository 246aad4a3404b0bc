/*
 * See frames.h.
 */
#include "guest-shim/frames.h"

#include "guest-shim/cpu.h"
#include "guest-shim/panic.h"
#include "guest-shim/volatile.h"

struct frame *frames;
struct replace replace;

extern const char image_start[], image_end[];

static u32 free_list = FRAME_NONE;
static u32 free_count;
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

void frames_init(const struct start_info *info, u32 swappiness, bool volatiles)
{
	u32 count = highest_end(info);
	size_t descriptors = ROUND_UP(count * sizeof(struct frame), 64);
	size_t nodes = ROUND_UP(descriptors + count * sizeof(struct replace_node), PAGE_SIZE);
	size_t states = volatile_bytes(volatiles, count);
	u32 pages = (u32)((nodes + states) >> PAGE_SHIFT);
	u32 first = room_behind_image(info, pages);

	start = first + pages;
	end = count;
	for (u32 page = 0; page < pages; page++)
		page_zero(frame_pointer(first + page));
	frames = frame_pointer(first);
	replace_init(&replace, (void *)((char *)frames + descriptors), count, swappiness);
	volatile_init(states ? (u8 *)frames + nodes : NULL, count);

	/* From the top down, so that the lowest are handed out first. */
	for (unsigned i = info->ranges; i-- > 0;) {
		for (u32 frame = info->ram[i].end; frame-- > info->ram[i].first;) {
			if (is_image(frame) || (frame >= first && frame < first + pages))
				continue;
			total++;
			frames_give(frame);
		}
	}
}

u32 frames_take(void)
{
	u32 frame = free_list;

	if (frame != FRAME_NONE)
		frames_take_this(frame);
	return frame;
}

void frames_take_this(u32 frame)
{
	u32 before = frames[frame].key, after = frames[frame].slot;

	if (before == FRAME_NONE)
		free_list = after;
	else
		frames[before].slot = after;
	if (after != FRAME_NONE)
		frames[after].key = before;
	free_count--;
	(void)volatile_keep(frame); /* what it had is of no interest */
	frames[frame] = (struct frame){.slot = SLOT_NONE, .kind = FRAME_RESERVED};
}

void frames_give(u32 frame)
{
	if (frames[frame].kind == FRAME_FREE)
		panic("frame %x is freed twice", (unsigned)frame);
	frames[frame] = (struct frame){.key = FRAME_NONE, .slot = free_list, .kind = FRAME_FREE};
	if (free_list != FRAME_NONE)
		frames[free_list].key = frame;
	free_list = frame;
	free_count++;
	volatile_let_go(frame);
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
	frames_give(frame);
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
	return total - free_count - movable;
}
