/*
 * Compaction (tmem/pack.h): first inside of runs, which costs a copy and tells nobody; then by
 * joining runs, which tells owners but copies nothing; then fragment by fragment into the free
 * space of others.
 */
#include <abi/errno.h>

#include "tmem/pack.h"
#include "tmem/pack_run.h"

/* Leaves of the slab that one search for the run with least in it looks at, and runs that may be
 * joined with it. */
#define LEAVES_SEARCHED 2U
#define SHORT_SEARCHED  16U
/* Such searches in one step, each among other leaves, until something can be done. */
#define SEARCHES 4U

/* ---- Within a run ------------------------------------------------------------------- */

/* The run with most free space, a frame's worth or more; 0 if there is none. */
static u32 find_loose(const struct pack *pack)
{
	const u64 loose = ~0UL << (PACK_BUCKETS / RUN_FRAMES);
	u64 most = 0;
	u32 id = 0;

	for (unsigned class = 0; class < TMEM_CLASSES; class ++) {
		const struct pack_class *of = &pack->classes[class];
		u64 filled = of->filled & loose;

		if (filled > most) {
			most = filled;
			id = of->buckets[63 - __builtin_clzl(filled)];
		}
	}
	return id;
}

/* ---- Two runs ----------------------------------------------------------------------- */

/* The run with most frames, and among them most free space, that can take in @run; 0 if there is
 * none among those looked at. */
static u32 find_partner(const struct pack *pack, u32 id)
{
	const struct run *run = run_at(pack, id);
	u32 other_id = pack->classes[run->class].short_runs;
	u32 found = 0, most = 0;

	for (u32 i = 0; i < SHORT_SEARCHED && other_id; i++) {
		const struct run *other = run_at(pack, other_id);
		u32 worth = run_capacity(other) + other->free;

		if (other_id != id && other->frame_count + run->frame_count <= RUN_FRAMES &&
			other->count + run->count <= RUN_FRAGMENTS && worth > most) {
			most = worth;
			found = other_id;
		}
		other_id = other->next_short;
	}
	return found;
}

/* Run @from becomes the end of run @to. */
static u32 join(struct pack *pack, u32 from_id, u32 to_id, pack_moved moved, void *argument)
{
	struct run *from = run_at(pack, from_id), *to = run_at(pack, to_id);
	const u32 shift = run_capacity(to);
	u32 count = from->count, new_entry = 0;

	run_leave(pack, from_id);
	for (u32 i = 0; i < from->frame_count; i++) {
		u32 slot = from->frames[i];

		to->frames[to->frame_count + i] = slot;
		run_mark(pack, slot, to_id);
	}
	pack->frames -= from->frame_count;
	pack->classes[from->class].frames -= from->frame_count;
	pack->free -= from->free;
	run_update(pack, to_id, from->free, (int)count, from->frame_count);
	for (u32 entry = 0; entry < RUN_FRAGMENTS; entry++) {
		struct fragment *fragment;

		if (!from->places[entry])
			continue;
		while (to->places[new_entry])
			new_entry++;
		to->places[new_entry] = (u16)(from->places[entry] + (shift << 6));
		fragment = run_fragment(pack, to, new_entry);
		fragment->entry = (u16)new_entry;
		moved(argument, fragment->owner, fragment_id(from_id, entry),
			fragment_id(to_id, new_entry));
	}
	from->frame_count = 0;
	slab_put(pack->tmem, &pack->runs, RUN_ID_SHIFT, from_id, from);
	/* On no list of runs with room then. */
	if (to->count == RUN_FRAGMENTS)
		run_trim(pack, to_id);
	return count;
}

/* ---- From run to run ---------------------------------------------------------------- */

static void move_fragment(
	struct pack *pack, u32 from_id, u32 entry, u32 to_id, pack_moved moved, void *argument)
{
	struct run *from = run_at(pack, from_id), *to = run_at(pack, to_id);
	u32 place = from->places[entry], granules = place_granules(place);
	u32 new_entry = run_place(pack, to_id, granules);
	struct fragment *fragment;

	run_copy(pack, to, place_first(to->places[new_entry]), from, place_first(place), granules);
	fragment = run_fragment(pack, to, new_entry);
	fragment->entry = (u16)new_entry;
	from->places[entry] = 0;
	from->free = (u16)(from->free + granules);
	from->count = (from->count - 1) & 63;
	pack->free += granules;
	moved(argument, fragment->owner, fragment_id(from_id, entry),
		fragment_id(to_id, new_entry));
}

/* Where a fragment of @run goes: a run that holds at least as much has room, or gets another frame,
 * and is @grown then, to be filled first. So each step leaves less to do than it found, and what
 * is free in runs' last frames adds up. */
static u32 find_fuller(struct pack *pack, const struct run *run, u32 granules, u32 *grown)
{
	/* Fragments like this one that fill a frame: a run must have entries for them. */
	const u32 fill = FRAME_GRANULES / granules;
	u32 id = *grown, most = run_used(run), slot;

	if (id && run_at(pack, id)->free >= granules && run_at(pack, id)->count < RUN_FRAGMENTS)
		return id;
	id = run_find(pack, run->class, granules);
	if (id && run_used(run_at(pack, id)) >= most)
		return id;
	id = 0;
	for (u32 i = 0, other = pack->classes[run->class].short_runs; i < SHORT_SEARCHED && other;
		i++) {
		const struct run *candidate = run_at(pack, other);

		if (run_used(candidate) >= run_used(run) && candidate->free >= granules)
			return other;
		if (run_used(candidate) >= most && candidate->count + fill <= RUN_FRAGMENTS) {
			most = run_used(candidate);
			id = other;
		}
		other = candidate->next_short;
	}
	if (!id || !arena_take(pack->tmem, run->class, pack->client, &slot, 1))
		return 0;
	run_add_frame(pack, id, slot);
	*grown = id;
	return id;
}

/* The run is on no list meanwhile, so that no fragment goes back into it. */
static bool empty_run(
	struct pack *pack, u32 id, bool concentrate, u32 *max, pack_moved moved, void *argument)
{
	struct run *run = run_at(pack, id);
	u32 grown = 0;

	run_leave(pack, id);
	for (u32 entry = 0; entry < RUN_FRAGMENTS && *max; entry++) {
		u32 granules = place_granules(run->places[entry]);
		u32 to;

		if (!granules)
			continue;
		to = concentrate ? find_fuller(pack, run, granules, &grown)
				 : run_find(pack, run->class, granules);
		if (!to)
			continue;
		move_fragment(pack, id, entry, to, moved, argument);
		--*max;
	}
	run_enter(pack, id);
	if (run->count)
		return false;
	run_end(pack, id);
	return true;
}

bool pack_empty_run(struct pack *pack, u32 run, u32 *max, pack_moved moved, void *argument)
{
	return empty_run(pack, run, false, max, moved, argument);
}

static void keep_lighter(const struct pack *pack, u32 id, u32 *found)
{
	if (!*found || run_used(run_at(pack, id)) < run_used(run_at(pack, *found)))
		*found = id;
}

/* The run that holds least among those looked at: some leaves' worth of all, and those that others
 * are going to be moved into, which must hold more. */
static u32 find_light(struct pack *pack)
{
	u32 found = 0;

	for (u32 i = 0; i < LEAVES_SEARCHED; i++) {
		u32 leaf = slab_next_leaf(&pack->runs, pack->cursor);

		if (leaf == ~0U)
			leaf = slab_next_leaf(&pack->runs, 0);
		if (leaf == ~0U)
			break;
		pack->cursor = leaf + 1;
		for (u32 place = 1; place <= pack->runs.per_leaf; place++)
			if (run_at(pack, leaf << RUN_ID_SHIFT | place)->frame_count)
				keep_lighter(pack, leaf << RUN_ID_SHIFT | place, &found);
	}
	for (unsigned class = 0; class < TMEM_CLASSES; class ++) {
		u32 id = pack->classes[class].short_runs;

		for (u32 i = 0; i < SHORT_SEARCHED && id; i++) {
			keep_lighter(pack, id, &found);
			id = run_at(pack, id)->next_short;
		}
	}
	return found;
}

u32 pack_compact(struct pack *pack, u32 max, pack_moved moved, void *argument)
{
	u32 left = max, id, partner;
	u64 frames = pack->frames;

	if (!pack_is_sparse(pack))
		return 0;
	id = find_loose(pack);
	if (id) {
		u32 given = run_trim(pack, id);

		/* Only after pack_add_frame(). */
		if (!run_at(pack, id)->count)
			run_end(pack, id);
		return given;
	}
	for (u32 i = 0; i < SEARCHES && left == max; i++) {
		id = find_light(pack);
		partner = id ? find_partner(pack, id) : 0;
		if (partner)
			return join(pack, id, partner, moved, argument);
		if (id)
			empty_run(pack, id, true, &left, moved, argument);
	}
	return max - left + (pack->frames < frames ? (u32)(frames - pack->frames) : 0);
}
