/*
 * Runs of a pack (tmem/pack_run.h): finding the one that fits best, making room inside of it, and
 * keeping each on its lists.
 */
#include "tmem/pack_run.h"

#include "tmem/port.h"

#define GRANULES_PER_BUCKET 8U
/* Runs looked at that may or may not have as much as is wanted, before one that surely has. */
#define PROBES 4U

/* ---- Lists -------------------------------------------------------------------------- */

static u32 bucket_of(const struct run *run)
{
	/* Nothing fits where there is no entry. */
	return run->count == RUN_FRAGMENTS ? 0
					   : MIN(run->free / GRANULES_PER_BUCKET, PACK_BUCKETS - 1);
}

static bool is_short(const struct run *run)
{
	return run->frame_count < RUN_FRAMES && run->count < RUN_FRAGMENTS;
}

static void link_bucket(struct pack *pack, u32 id, struct run *run)
{
	struct pack_class *class = &pack->classes[run->class];
	u32 bucket = bucket_of(run);

	run->prev = 0;
	run->next = class->buckets[bucket];
	if (run->next)
		run_at(pack, run->next)->prev = id;
	class->buckets[bucket] = id;
	class->filled |= BIT(bucket);
}

static void unlink_bucket(struct pack *pack, const struct run *run, u32 bucket)
{
	struct pack_class *class = &pack->classes[run->class];

	if (run->next)
		run_at(pack, run->next)->prev = run->prev;
	if (run->prev)
		run_at(pack, run->prev)->next = run->next;
	else
		class->buckets[bucket] = run->next;
	if (!class->buckets[bucket])
		class->filled &= ~BIT(bucket);
}

static void link_short(struct pack *pack, u32 id, struct run *run)
{
	u32 *head = &pack->classes[run->class].short_runs;

	run->prev_short = 0;
	run->next_short = *head;
	if (*head)
		run_at(pack, *head)->prev_short = id;
	*head = id;
}

static void unlink_short(struct pack *pack, const struct run *run)
{
	if (run->next_short)
		run_at(pack, run->next_short)->prev_short = run->prev_short;
	if (run->prev_short)
		run_at(pack, run->prev_short)->next_short = run->next_short;
	else
		pack->classes[run->class].short_runs = run->next_short;
}

void run_enter(struct pack *pack, u32 id)
{
	struct run *run = run_at(pack, id);

	link_bucket(pack, id, run);
	if (is_short(run))
		link_short(pack, id, run);
}

void run_leave(struct pack *pack, u32 id)
{
	const struct run *run = run_at(pack, id);

	unlink_bucket(pack, run, bucket_of(run));
	if (is_short(run))
		unlink_short(pack, run);
}

void run_update(struct pack *pack, u32 id, int free, int count, int frames)
{
	struct run *run = run_at(pack, id);
	u32 bucket = bucket_of(run);
	bool was_short = is_short(run);

	run->free = (u16)(run->free + free);
	run->count = (u8)(run->count + count) & 63;
	run->frame_count = (u8)(run->frame_count + frames);
	pack->free += (u64)(s64)free;
	pack->frames += (u64)(s64)frames;
	pack->classes[run->class].frames += (u64)(s64)frames;
	if (bucket_of(run) != bucket) {
		unlink_bucket(pack, run, bucket);
		link_bucket(pack, id, run);
	}
	if (is_short(run) == was_short)
		return;
	if (was_short)
		unlink_short(pack, run);
	else
		link_short(pack, id, run);
}

u32 run_find(const struct pack *pack, enum tmem_class class, u32 granules)
{
	const struct pack_class *of = &pack->classes[class];
	u32 bucket = granules / GRANULES_PER_BUCKET;
	u32 id = of->buckets[bucket];
	u64 above;

	for (u32 i = 0; i < PROBES && id; i++) {
		const struct run *run = run_at(pack, id);

		if (run->free >= granules && run->count < RUN_FRAGMENTS)
			return id;
		id = run->next;
	}
	above = of->filled & ~0UL << (bucket + 1);
	return above ? of->buckets[__builtin_ctzl(above)] : 0;
}

/* ---- Room within a run -------------------------------------------------------------- */

u32 run_sort(const struct run *run, u32 sorted[RUN_FRAGMENTS])
{
	u32 count = 0;

	for (u32 entry = 0; entry < RUN_FRAGMENTS; entry++) {
		u32 key = (u32)run->places[entry] << 8 | entry;
		u32 at = count;

		if (!run->places[entry])
			continue;
		for (; at && sorted[at - 1] > key; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = key;
		count++;
	}
	return count;
}

void run_copy(const struct pack *pack, const struct run *to_run, u32 to, const struct run *from_run,
	u32 from, u32 granules)
{
	while (granules) {
		u32 room = FRAME_GRANULES - MAX(to % FRAME_GRANULES, from % FRAME_GRANULES);
		u32 count = MIN(room, granules);
		u64 *target = (u64 *)run_granule(pack, to_run, to);
		const u64 *source = (u64 *)run_granule(pack, from_run, from);

		/* Upwards, since they may overlap. */
#pragma GCC unroll 8
		for (u32 i = 0; i < count * (GRANULE / 8); i++)
			target[i] = source[i];
		to += count;
		from += count;
		granules -= count;
	}
}

u32 run_slide(
	const struct pack *pack, struct run *run, const u32 *sorted, u32 begin, u32 end, u32 at)
{
	for (u32 i = begin; i < end; i++) {
		u32 place = sorted[i] >> 8, size = place_granules(place);

		if (place_first(place) != at)
			run_copy(pack, run, at, run, place_first(place), size);
		run->places[sorted[i] & 0xff] = (u16)(at << 6 | size);
		at += size;
	}
	return at;
}

/*
 * Finds the gaps that add up to @granules with the fewest granules of fragments between them, moves
 * these together and returns where the room begins. Gap i lies in front of fragment i of the sorted
 * ones. A single gap is the case with nothing between; among several the smallest is taken.
 */
static u32 make_room(struct pack *pack, struct run *run, u32 granules)
{
	u32 sorted[RUN_FRAGMENTS], gaps[RUN_FRAGMENTS + 1];
	u32 count = run_sort(run, sorted);
	u32 end = 0, first = 0, sum = 0, between = 0;
	u32 best_first = 0, best_last = 0, best_sum = ~0U, best_between = ~0U;

	for (u32 last = 0; last <= count; last++) {
		u32 begin = last < count ? place_first(sorted[last] >> 8) : run_capacity(run);

		gaps[last] = begin - end;
		sum += gaps[last];
		for (; first < last && sum - gaps[first] >= granules; first++) {
			sum -= gaps[first];
			between -= place_granules(sorted[first] >> 8);
		}
		if (sum >= granules &&
			(between < best_between || (between == best_between && sum < best_sum))) {
			best_first = first;
			best_last = last;
			best_between = between;
			best_sum = sum;
		}
		if (last == count)
			break;
		end = begin + place_granules(sorted[last] >> 8);
		between += place_granules(sorted[last] >> 8);
	}
	end = 0;
	if (best_first) {
		u32 place = sorted[best_first - 1] >> 8;

		end = place_first(place) + place_granules(place);
	}
	return run_slide(pack, run, sorted, best_first, best_last, end);
}

/* ---- Frames ------------------------------------------------------------------------- */

void run_add_frame(struct pack *pack, u32 id, u32 slot)
{
	struct run *run = run_at(pack, id);

	run->frames[run->frame_count] = slot;
	run_mark(pack, slot, id);
	run_update(pack, id, (int)FRAME_GRANULES, 0, 1);
}

static void give_frames(struct pack *pack, u32 id, u32 keep)
{
	struct run *run = run_at(pack, id);
	u32 count = run->frame_count - keep;

	if (!count)
		return;
	for (u32 i = keep; i < run->frame_count; i++)
		run_unmark(pack, run->frames[i]);
	arena_give(pack->tmem, run->frames + keep, count);
	run_update(pack, id, -(int)(count * FRAME_GRANULES), 0, -(int)count);
}

u32 run_trim(struct pack *pack, u32 id)
{
	struct run *run = run_at(pack, id);
	u32 sorted[RUN_FRAGMENTS];
	u32 count = run_sort(run, sorted);
	u32 end = run_slide(pack, run, sorted, 0, count, 0);
	u32 frames = run->frame_count, keep = (end + FRAME_GRANULES - 1) / FRAME_GRANULES;

	give_frames(pack, id, keep);
	return frames - keep;
}

void run_end(struct pack *pack, u32 id)
{
	struct run *run = run_at(pack, id);

	give_frames(pack, id, 0);
	run_leave(pack, id);
	slab_put(pack->tmem, &pack->runs, RUN_ID_SHIFT, id, run);
}

/* ---- Places ------------------------------------------------------------------------- */

u32 run_place(struct pack *pack, u32 id, u32 granules)
{
	struct run *run = run_at(pack, id);
	u32 entry = 0;

	while (run->places[entry])
		entry++;
	run->places[entry] = (u16)(make_room(pack, run, granules) << 6 | granules);
	run_update(pack, id, -(int)granules, 1, 0);
	/* On no list of runs with room, so nobody would come for them. */
	if (unlikely(run->count == RUN_FRAGMENTS && run->free >= FRAME_GRANULES))
		run_trim(pack, id);
	return entry;
}
