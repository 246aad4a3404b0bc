/*
 * Storing, reading and freeing fragments (tmem/pack.h).
 */
#include "tmem/pack.h"

#include <string.h>

#include <abi/errno.h>

#include "tmem/pack_run.h"

static struct fragment *fragment_at(const struct pack *pack, u32 id)
{
	return run_fragment(pack, run_at(pack, id_run(id)), id_entry(id));
}

void pack_init(struct pack *pack, struct tmem *tmem, u32 client)
{
	memset(pack, 0, sizeof(*pack));
	pack->tmem = tmem;
	pack->client = client;
	slab_init(&pack->runs, sizeof(struct run));
}

void pack_destroy(struct pack *pack)
{
	/* Frames that pack_add_frame() brought and nobody used. */
	for (unsigned class = 0; class < TMEM_CLASSES; class ++) {
		const struct pack_class *of = &pack->classes[class];

		while (of->filled)
			run_end(pack, of->buckets[__builtin_ctzl(of->filled)]);
	}
	slab_destroy(pack->tmem, &pack->runs);
}

/* A run without frames; 0 without memory. */
static u32 new_run(struct pack *pack, enum tmem_class class)
{
	void *record;
	u32 id;

	if (slab_reserve(pack->tmem, &pack->runs, 1))
		return 0;
	id = slab_take(&pack->runs, sizeof(struct run), &record);
	if (id > RUN_ID_MAX) {
		slab_put(pack->tmem, &pack->runs, RUN_ID_SHIFT, id, record);
		return 0;
	}
	*(struct run *)record = (struct run){.class = (u8) class & 1};
	run_enter(pack, id);
	return id;
}

int pack_add_frame(struct pack *pack, enum tmem_class class, u32 length, u32 slot)
{
	u32 id = pack->classes[class].short_runs;

	/* A run that has no entries left to fill half of the frame is not worth it. */
	if (id && (RUN_FRAGMENTS - run_at(pack, id)->count) * granules_for(length) <
			  FRAME_GRANULES / 2)
		id = 0;
	if (!id)
		id = new_run(pack, class);
	if (!id)
		return -SLUICE_ENOMEM;
	run_add_frame(pack, id, slot);
	return 0;
}

static bool add_frame_of_arena(struct pack *pack, enum tmem_class class, u32 length)
{
	u32 slot;

	if (!arena_take(pack->tmem, class, pack->client, &slot, 1))
		return false;
	if (!pack_add_frame(pack, class, length, slot))
		return true;
	arena_give(pack->tmem, &slot, 1);
	return false;
}

/* The bytes behind the header, over the border of a frame if need be. */
static void write_bytes(
	const struct pack *pack, const struct run *run, u32 granule, const void *data, u32 length)
{
	u32 offset = granule % FRAME_GRANULES * GRANULE + (u32)sizeof(struct fragment);
	u32 here = MIN((u32)PAGE_SIZE - offset, length);

	memcpy(run_granule(pack, run, granule) + sizeof(struct fragment), data, here);
	if (here < length)
		memcpy(run_granule(pack, run, ROUND_UP(granule + 1, FRAME_GRANULES)),
			(const u8 *)data + here, length - here);
}

u32 pack_store(struct pack *pack, enum tmem_class class, const void *data, u32 length, u32 owner)
{
	u32 granules = granules_for(length);
	u32 id, entry;
	struct run *run;

	if (!length || length > PACK_LENGTH_MAX)
		return 0;
	id = run_find(pack, class, granules);
	if (!id) {
		if (!add_frame_of_arena(pack, class, length))
			return 0;
		id = run_find(pack, class, granules);
	}
	entry = run_place(pack, id, granules);
	run = run_at(pack, id);
	*run_fragment(pack, run, entry) = (struct fragment){owner, (u16)length, (u16)entry};
	write_bytes(pack, run, place_first(run->places[entry]), data, length);
	pack->fragments++;
	pack->classes[class].fragments++;
	pack->bytes += length;
	return fragment_id(id, entry);
}

u32 pack_read(const struct pack *pack, u32 id, struct pack_piece pieces[2])
{
	const struct run *run = run_at(pack, id_run(id));
	u32 granule = place_first(run->places[id_entry(id)]);
	const struct fragment *fragment = fragment_at(pack, id);
	u32 offset = granule % FRAME_GRANULES * GRANULE + (u32)sizeof(*fragment);
	u32 length = fragment->length;

	pieces[0].data = (const u8 *)(fragment + 1);
	pieces[0].length = MIN((u32)PAGE_SIZE - offset, length);
	pieces[1].data = NULL;
	pieces[1].length = length - pieces[0].length;
	if (pieces[1].length)
		pieces[1].data = run_granule(pack, run, ROUND_UP(granule + 1, FRAME_GRANULES));
	return length;
}

const void *pack_contents(const struct pack *pack, u32 id, void *scratch, u32 *length)
{
	struct pack_piece pieces[2];

	*length = pack_read(pack, id, pieces);
	if (!pieces[1].length)
		return pieces[0].data;
	memcpy(scratch, pieces[0].data, pieces[0].length);
	memcpy((u8 *)scratch + pieces[0].length, pieces[1].data, pieces[1].length);
	return scratch;
}

u32 pack_length(const struct pack *pack, u32 id)
{
	return fragment_at(pack, id)->length;
}

u32 pack_owner(const struct pack *pack, u32 id)
{
	return fragment_at(pack, id)->owner;
}

void pack_set_owner(struct pack *pack, u32 id, u32 owner)
{
	fragment_at(pack, id)->owner = owner;
}

void pack_free(struct pack *pack, u32 id)
{
	struct run *run = run_at(pack, id_run(id));
	u32 place = run->places[id_entry(id)];

	pack->fragments--;
	pack->classes[run->class].fragments--;
	pack->bytes -= fragment_at(pack, id)->length;
	run->places[id_entry(id)] = 0;
	run_update(pack, id_run(id), (int)place_granules(place), -1, 0);
	if (!run->count)
		run_end(pack, id_run(id));
}
