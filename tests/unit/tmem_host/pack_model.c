/*
 * The model of packs (tests/unit/tmem_host/pack_model.h). A fragment's contents follow from its
 * seed and length, so that whole contents are compared. Owner numbers are places in the array plus
 * a number of each client's, so that a callback for the wrong pack is seen.
 */
#include "tests/unit/tmem_host/pack_model.h"

#include <abi/errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tmem_host/port.h"
#include "tmem/pack.h"

#define CLIENTS       2U
#define FRAGMENTS_MAX 4096U
#define OWNER_BASE    1000000U

struct entry {
	u64 seed; /* 0 = not stored */
	u32 id, length, told;
	enum tmem_class class;
};

struct model_pack {
	struct pack pack;
	struct entry entries[FRAGMENTS_MAX];
	u64 stored, bytes;
};

struct pack_model {
	struct pack_model_config config;
	u32 (*choose)(void *argument, u32 bound);
	void *argument;
	struct tmem *tmem;
	u64 seed;
	u32 told; /* the number of this step's compaction */
	struct model_pack *current;
	struct model_pack packs[CLIENTS];
};

static char error[256];

const char *pack_model_error(void)
{
	return error;
}

static bool __printf_like(1, 2) fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, sizeof(error), format, arguments);
	va_end(arguments);
	return false;
}

#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return fail(__VA_ARGS__);                                                  \
	} while (0)

struct pack_model *pack_model_create(const struct pack_model_config *config,
	u32 (*choose)(void *argument, u32 bound), void *argument)
{
	struct pack_model *model = calloc(1, sizeof(*model));
	struct tmem_config store = {.max_pages = config->max_pages};

	host_memory_init(config->memory_pages);
	model->config = *config;
	model->choose = choose;
	model->argument = argument;
	model->tmem = tmem_create(&store);
	for (u32 i = 0; i < CLIENTS; i++)
		pack_init(&model->packs[i].pack, model->tmem, i + 1);
	error[0] = 0;
	return model;
}

static u32 owner_base(const struct pack_model *model, const struct model_pack *pack)
{
	return OWNER_BASE * (u32)(pack - model->packs + 1);
}

static u8 byte_of(u64 seed, u32 at)
{
	return (u8)((seed + at / 8) * 0x9e3779b97f4a7c15UL >> at % 8 * 8);
}

static void fill(u8 *bytes, u64 seed, u32 length)
{
	for (u32 i = 0; i < length; i++)
		bytes[i] = byte_of(seed, i);
}

static bool holds(const u8 *bytes, u64 seed, u32 from, u32 length)
{
	for (u32 i = 0; i < length; i++)
		if (bytes[i] != byte_of(seed, from + i))
			return false;
	return true;
}

/* ---- Operations --------------------------------------------------------------------- */

static struct entry *choose_entry(struct pack_model *model)
{
	return &model->current->entries[model->choose(model->argument, model->config.fragments)];
}

static bool store(struct pack_model *model, struct entry *entry)
{
	struct model_pack *pack = model->current;
	u32 range = model->config.longest - model->config.shortest + 1;
	u32 length = model->config.shortest + model->choose(model->argument, range);
	enum tmem_class class = model->choose(model->argument, 8) ? EPHEMERAL : PERSISTENT;
	u8 *bytes = malloc(length + !length); /* so that reading beyond it is caught */
	u64 seed = ++model->seed * 0x100000001UL;
	u32 id;

	fill(bytes, seed, length);
	if (model->config.failures && !model->choose(model->argument, 8))
		host_allocations_until_failure = model->choose(model->argument, 4);
	id = pack_store(&pack->pack, class, bytes, length,
		owner_base(model, pack) + (u32)(entry - pack->entries));
	host_allocations_until_failure = ~0UL;
	free(bytes);
	if (!id)
		return true;
	CHECK(length && length <= PACK_LENGTH_MAX, "a fragment of %u bytes is stored", length);
	for (u32 i = 0; i < model->config.fragments; i++)
		CHECK(!pack->entries[i].seed || pack->entries[i].id != id, "id %x given twice", id);
	entry->seed = seed;
	entry->id = id;
	entry->length = length;
	entry->class = class;
	pack->stored++;
	pack->bytes += length;
	return true;
}

static void drop(struct pack_model *model, struct entry *entry)
{
	pack_free(&model->current->pack, entry->id);
	model->current->stored--;
	model->current->bytes -= entry->length;
	entry->seed = 0;
}

static bool check_contents(struct pack_model *model, const struct entry *entry)
{
	static u8 scratch[PAGE_SIZE];
	const struct model_pack *pack = model->current;
	struct pack_piece pieces[2];
	u32 length = pack_read(&pack->pack, entry->id, pieces), again;
	const u8 *contents;

	CHECK(length == entry->length && pieces[0].length + pieces[1].length == length,
		"fragment %x: %u bytes in %u and %u, stored were %u", entry->id, length,
		pieces[0].length, pieces[1].length, entry->length);
	CHECK(holds(pieces[0].data, entry->seed, 0, pieces[0].length) &&
			(!pieces[1].length || holds(pieces[1].data, entry->seed, pieces[0].length,
						      pieces[1].length)),
		"fragment %x has other contents", entry->id);
	contents = pack_contents(&pack->pack, entry->id, scratch, &again);
	CHECK(again == length && holds(contents, entry->seed, 0, length),
		"fragment %x has other contents in one piece", entry->id);
	CHECK(pack_owner(&pack->pack, entry->id) ==
			owner_base(model, pack) + (u32)(entry - pack->entries),
		"fragment %x belongs to %u", entry->id, pack_owner(&pack->pack, entry->id));
	return true;
}

static void moved(void *argument, u32 owner, u32 old_id, u32 new_id)
{
	struct pack_model *model = argument;
	u32 number = owner - owner_base(model, model->current);
	struct entry *entry;

	if (number >= model->config.fragments) {
		fail("owner %u is told, who has nothing here", owner);
		return;
	}
	entry = &model->current->entries[number];
	if (!entry->seed || entry->id != old_id || entry->told == model->told || old_id == new_id)
		fail("owner %u is told of %x -> %x, has %x, told already %d", owner, old_id, new_id,
			entry->id, entry->told == model->told);
	entry->told = model->told;
	entry->id = new_id;
}

static bool compact(struct pack_model *model)
{
	struct model_pack *pack = model->current;
	u32 max = 1 + model->choose(model->argument, 20);
	u64 frames = pack->pack.frames;
	bool sparse = pack_is_sparse(&pack->pack);
	u32 done;

	model->told++;
	if (model->config.failures && !model->choose(model->argument, 4))
		host_allocations_until_failure = 0;
	done = pack_compact(&pack->pack, max, moved, model);
	host_allocations_until_failure = ~0UL;
	CHECK(sparse || !done, "%u moved in a pack that is full", done);
	CHECK(done || pack->pack.frames == frames, "frames changed, and nothing was done");
	return !error[0];
}

static bool is_frame_of(const struct pack_model *model, u32 run, u32 slot)
{
	const struct page *page;

	if (!arena_block(model->tmem, slot / BLOCK_PAGES))
		return false;
	page = page_at(model->tmem, slot);
	return page_state(page) == SLOT_PACKED && page->owner == run &&
	       page_client(page) == model->current->pack.client;
}

/* Reclaim wants a frame that a fragment's run has. */
static bool reclaim(struct pack_model *model, const struct entry *entry)
{
	struct model_pack *pack = model->current;
	u32 id = entry->id >> FRAGMENT_ID_SHIFT;
	const struct run *run = run_at(&pack->pack, id);
	u32 slot = run->frames[model->choose(model->argument, run->frame_count)];
	u32 owners[RUN_FRAGMENTS], spare, count;
	u64 frames = pack->pack.frames;

	CHECK(is_frame_of(model, id, slot), "the reverse map does not lead to run %u", id);
	if (model->choose(model->argument, 2)) {
		if (!arena_take(model->tmem, EPHEMERAL, pack->pack.client, &spare, 1))
			return true;
		pack_replace_frame(&pack->pack, id, slot, spare);
		CHECK(pack->pack.frames == frames, "a frame replaced changes their number");
		arena_give(model->tmem, &slot, 1);
		return true;
	}
	count = pack_frame_owners(&pack->pack, id, slot, owners);
	if (count)
		CHECK(pack_detach_frame(&pack->pack, id, slot) == -SLUICE_EBUSY,
			"a frame with %u fragments is given away", count);
	for (u32 i = 0; i < count; i++)
		drop(model, &pack->entries[owners[i] - owner_base(model, pack)]);
	/* The run went with its last fragment. */
	if (!is_frame_of(model, id, slot))
		return true;
	frames = pack->pack.frames;
	CHECK(pack_detach_frame(&pack->pack, id, slot) == 0, "an empty frame is kept");
	CHECK(pack->pack.frames == frames - 1, "a frame given away is still counted");
	arena_give(model->tmem, &slot, 1);
	return true;
}

static bool add_frame(struct pack_model *model)
{
	struct pack *pack = &model->current->pack;
	u32 length = 1 + model->choose(model->argument, PACK_LENGTH_MAX), slot;
	u64 frames = pack->frames;

	if (!arena_take(model->tmem, EPHEMERAL, pack->client, &slot, 1))
		return true;
	if (pack_add_frame(pack, EPHEMERAL, length, slot)) {
		arena_give(model->tmem, &slot, 1);
		return true;
	}
	CHECK(pack->frames == frames + 1, "a frame added is not counted");
	return true;
}

bool pack_model_step(struct pack_model *model)
{
	u32 operation = model->choose(model->argument, 64);
	struct entry *entry;
	u32 max;

	model->current = &model->packs[model->choose(model->argument, CLIENTS)];
	entry = choose_entry(model);
	if (operation < 36) {
		if (!entry->seed)
			return store(model, entry);
		if (operation < 18)
			drop(model, entry);
		return true;
	}
	if (operation < 44)
		return compact(model);
	if (operation == 44)
		return add_frame(model);
	if (operation == 45) {
		/* A guest that drops most of what it has. */
		for (u32 i = 0; i < model->config.fragments; i++)
			if (model->current->entries[i].seed && model->choose(model->argument, 4))
				drop(model, &model->current->entries[i]);
		return true;
	}
	if (!entry->seed)
		return true;
	if (operation < 48)
		return reclaim(model, entry);
	if (operation == 48) {
		model->told++;
		max = model->choose(model->argument, 40);
		(void)pack_empty_run(
			&model->current->pack, entry->id >> FRAGMENT_ID_SHIFT, &max, moved, model);
		return !error[0];
	}
	return check_contents(model, entry);
}

/* ---- Checks ------------------------------------------------------------------------- */

static void count_page(void *page, void *argument)
{
	if (!host_page_is_in_use(page))
		fail("a record page that the host does not know");
	++*(u64 *)argument;
}

/* Frames that the reverse map says are @client's runs'. */
static u64 frames_mapped(const struct pack_model *model, u32 client)
{
	u64 count = 0;

	for (u32 number = 1; number < model->tmem->arena.block_numbers; number++) {
		const struct block *block = arena_block(model->tmem, number);

		for (u32 place = 0; block && place < BLOCK_PAGES; place++) {
			const struct page *page = block_page(block, place);

			count += page_state(page) == SLOT_PACKED && page_client(page) == client;
		}
	}
	return count;
}

bool pack_model_check(struct pack_model *model)
{
	for (u32 i = 0; i < CLIENTS; i++) {
		struct model_pack *pack = &model->packs[i];
		u64 pages = 0;

		model->current = pack;
		CHECK(pack->stored == pack->pack.fragments && pack->bytes == pack->pack.bytes,
			"%llu fragments of %llu bytes, counted are %llu of %llu",
			(unsigned long long)pack->stored, (unsigned long long)pack->bytes,
			(unsigned long long)pack->pack.fragments,
			(unsigned long long)pack->pack.bytes);
		CHECK(pack_audit(&pack->pack, count_page, &pages) == 0, "audit: %s",
			host_last_complaint);
		CHECK(pages >= pack->pack.runs.leaf_count, "%llu pages of records",
			(unsigned long long)pages);
		CHECK(frames_mapped(model, pack->pack.client) == pack->pack.frames,
			"the reverse map has %llu frames of %llu",
			(unsigned long long)frames_mapped(model, pack->pack.client),
			(unsigned long long)pack->pack.frames);
		for (u32 j = 0; j < model->config.fragments; j++)
			if (pack->entries[j].seed && !check_contents(model, &pack->entries[j]))
				return false;
	}
	return !error[0];
}

bool pack_model_finish(struct pack_model *model)
{
	bool good;

	for (u32 i = 0; i < CLIENTS; i++) {
		struct model_pack *pack = &model->packs[i];

		model->current = pack;
		for (u32 j = 0; j < model->config.fragments; j++)
			if (pack->entries[j].seed)
				drop(model, &pack->entries[j]);
		pack_destroy(&pack->pack);
		CHECK(!pack->pack.frames && !pack->pack.free && !slab_used(&pack->pack.runs),
			"%llu frames are left", (unsigned long long)pack->pack.frames);
	}
	tmem_destroy(model->tmem);
	good = host_pages_in_use() == 0;
	free(model);
	CHECK(good, "%llu pages are left", (unsigned long long)host_pages_in_use());
	return true;
}
