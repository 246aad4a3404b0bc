/*
 * The model of the tmem store (tests/unit/tmem_host/model.h): a dense array with one entry for each
 * handle that the player uses, and per client a queue of ephemeral pages in order of age.
 */
#include "tests/unit/tmem_host/model.h"

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/window.h"
#include "tmem/table.h"

#define POOLS   4U
#define SHARED  3U /* the one that all clients may share */
#define OBJECTS 24U
#define INDICES 80U

#define SAMPLED_KEYS 0x20000000U /* of 2^32: one key in eight is told of */

struct entry {
	u64 seed; /* contents; 0 = not stored */
	u64 age;  /* order of ephemeral puts */
};

struct model_pool {
	bool exists, persistent, dying;
	bool filtered; /* its miss filter was opened: */
	struct guest_window window;
	s32 id; /* the store's */
	/* What the store called a sampled page so far, 0 = not yet. */
	u64 hashes[OBJECTS][INDICES];
	struct entry entries[OBJECTS][INDICES];
};

struct queued {
	u64 age;
	u8 pool, object, index;
};

struct model_client {
	struct tmem_client *client;
	u32 weight;
	bool frozen;
	u64 ephemeral, persistent;
	u64 evictions; /* pages known to be lost to eviction */
	u64 hash_keys[6];
	u64 puts, gets; /* to private pools, that are told of */
	struct model_pool pools[POOLS];
	struct queued *queue; /* ring, oldest at @head; entries of another age are stale */
	u64 head, tail, capacity;
};

struct model {
	struct model_config config;
	model_choose choose;
	void *argument;
	struct tmem *tmem;
	/* The one after the last holds the shared pool's pages. Its client in the store is a sharer
	 * that does nothing, so that the pool stays. */
	struct model_client clients[MODEL_CLIENTS + 1];
	u64 seed, age;
	u64 flips; /* frames that changed hands */
	void *page;
	void **reclaimed;
};

static char error[256];

const char *model_error(void)
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

static u32 choose(struct model *model, u32 bound)
{
	return model->choose(model->argument, bound);
}

/* Objects whose words differ in one bit, in high bits only, or are the same numbers in another
 * order. */
static void object_key(u32 object, u64 key[3])
{
	key[0] = object & 1 ? 1UL << (object * 5 % 64) : object;
	key[1] = object & 2 ? (u64)object << 56 : 7;
	key[2] = object & 4 ? ~0UL - object : 0;
}

/* Runs of neighbours, indices far apart, and the ends of the range. */
static u32 page_index(u32 index)
{
	if (index < 50)
		return index;
	if (index < 70)
		return index * 0x01000193U;
	return ~0U - (index - 70);
}

/* ---- What is told of sampled pages -------------------------------------------------- */

static struct {
	unsigned count; /* since the operation began */
	void *owner;
	enum tmem_event event;
	struct tmem_sample sample;
} told;

static void note_told(void *owner, enum tmem_event event, const struct tmem_sample *sample)
{
	told.count++;
	told.owner = owner;
	told.event = event;
	told.sample = *sample;
}

/* ---- Life --------------------------------------------------------------------------- */

static bool create_client(struct model *model, u32 number)
{
	struct model_client *client = &model->clients[number];
	bool is_owner = number == model->config.clients;
	u32 weight = is_owner ? 1 : model->config.weights[number];
	const struct tmem_shared_grant grant = {.uuid = {9, 9}, .weight = weight};
	struct tmem_client_config config = {
		.weight = weight,
		.persistent_max = model->config.persistent_max,
		.guest_pages = model->config.exact || model->config.first_in_first_out ? 0 : 900,
		.ephemeral_modes = model->config.ephemeral_modes,
		.persistent_modes = model->config.persistent_modes,
		.dedup_group = model->config.groups && !is_owner ? 1 + number % 2 : 0,
		.shared = &grant,
		.shared_count = 1,
		.sample_threshold = SAMPLED_KEYS,
		.owner = client,
	};

	for (unsigned i = 0; i < 6 && !model->config.bad_keys; i++)
		config.hash_keys[i] = tmem_port_random();
	memcpy(client->hash_keys, config.hash_keys, sizeof(client->hash_keys));
	client->puts = client->gets = 0;
	client->weight = config.weight;
	client->client = tmem_client_create(model->tmem, &config);
	client->frozen = false;
	return client->client != NULL &&
	       (!is_owner || tmem_pool_create(client->client, TMEM_POOL_SHARED, 9, 9) == 0);
}

static struct model_client *owner_of(struct model *model)
{
	return &model->clients[model->config.clients];
}

/* What the store tells about the shared pool. */
static struct tmem_pool_info shared_info(struct model *model)
{
	struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];

	if (tmem_client_list(owner_of(model)->client, infos) != 1)
		abort();
	return infos[0];
}

struct model *model_create(const struct model_config *config, model_choose chooser, void *argument)
{
	struct model *model = calloc(1, sizeof(*model));
	struct tmem_config store = {.max_pages = config->max_pages};

	host_memory_init(config->memory_pages);
	host_sampled_hook = note_told;
	model->config = *config;
	model->choose = chooser;
	model->argument = argument;
	model->tmem = tmem_create(&store);
	model->page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	model->reclaimed = calloc(64, sizeof(void *));
	for (u32 i = 0; i <= config->clients; i++) {
		model->clients[i].capacity = 1 << 16;
		model->clients[i].queue = calloc(model->clients[i].capacity, sizeof(struct queued));
		if (!create_client(model, i))
			abort();
	}
	return model;
}

/* ---- The model's own store ---------------------------------------------------------- */

static void forget(struct model_client *client, struct model_pool *pool, struct entry *entry)
{
	if (!entry->seed)
		return;
	entry->seed = 0;
	if (pool->persistent)
		client->persistent--;
	else
		client->ephemeral--;
}

static void forget_pool(struct model_client *client, struct model_pool *pool)
{
	for (u32 object = 0; object < OBJECTS; object++)
		for (u32 index = 0; index < INDICES; index++)
			forget(client, pool, &pool->entries[object][index]);
}

static void enqueue(struct model_client *client, struct queued queued)
{
	if (client->tail - client->head == client->capacity)
		abort();
	client->queue[client->tail++ % client->capacity] = queued;
}

/* The oldest page that is still there, or NULL; drops stale queue entries. */
static struct entry *oldest_entry(struct model_client *client, struct model_pool **pool)
{
	for (; client->head != client->tail; client->head++) {
		struct queued *queued = &client->queue[client->head % client->capacity];
		struct entry *entry;

		*pool = &client->pools[queued->pool];
		entry = &(*pool)->entries[queued->object][queued->index];
		if (entry->seed && entry->age == queued->age && !(*pool)->persistent)
			return entry;
	}
	return NULL;
}

/* Stale entries are removed before the ring is full. */
static void tidy_queue(struct model_client *client)
{
	u64 kept = client->head;

	if (client->tail - client->head < client->capacity - 1)
		return;
	for (u64 i = client->head; i != client->tail; i++) {
		struct queued queued = client->queue[i % client->capacity];
		struct model_pool *pool = &client->pools[queued.pool];
		struct entry *entry = &pool->entries[queued.object][queued.index];

		if (entry->seed && entry->age == queued.age && !pool->persistent)
			client->queue[kept++ % client->capacity] = queued;
	}
	client->tail = kept;
}

/* What the rules say about a put of a new page while the store is full: evicts from the model;
 * false if the put must be refused. */
static bool model_make_room(struct model *model, struct model_client *self, bool persistent)
{
	u64 stored = 0, pages = 0, weight = 1;
	struct model_client *victim = NULL;
	struct model_pool *pool;
	struct entry *entry;

	for (u32 i = 0; i <= model->config.clients; i++)
		stored += model->clients[i].ephemeral + model->clients[i].persistent;
	if (stored < model->config.max_pages)
		return true;
	if (!persistent) {
		victim = self;
		pages = self->ephemeral + 1;
		weight = self->weight;
	}
	for (u32 i = 0; i <= model->config.clients; i++) {
		struct model_client *client = &model->clients[i];

		if (client->ephemeral * weight > pages * client->weight) {
			victim = client;
			pages = client->ephemeral;
			weight = client->weight;
		}
	}
	entry = victim ? oldest_entry(victim, &pool) : NULL;
	if (!entry)
		return false;
	forget(victim, pool, entry);
	victim->evictions++;
	return true;
}

/* ---- Operations --------------------------------------------------------------------- */

struct target {
	u32 client_number, pool_number, object, index;
	struct model_client *client;
	struct model_pool *pool;
	/* Where the pages are: the same, or for the shared pool its owner and that one's pool. */
	struct model_client *holder;
	struct model_pool *place;
	struct entry *entry;
	struct tmem_handle handle;
};

/* What has been counted, for one client and the shared pool. */
struct counts {
	u64 replaced, dropped, flushed;
	u64 shared_sum; /* of its pages and evictions: what was put and not flushed */
};

static struct counts count(struct model *model, const struct target *target)
{
	struct tmem_pool_info shared = shared_info(model);
	struct tmem_client_stats stats;

	tmem_client_stats(target->client->client, &stats);
	return (struct counts){stats.puts_replaced, stats.puts_dropped, stats.flushed_pages,
		shared.pages + shared.evictions};
}

/* Pages flushed since @before. */
static u64 flushed_since(
	struct model *model, const struct target *target, const struct counts *before)
{
	struct counts after = count(model, target);

	return target->holder == target->client ? after.flushed - before->flushed
						: before->shared_sum - after.shared_sum;
}

/* Old copies that went with a put that failed. */
static u64 dropped_since(
	struct model *model, const struct target *target, const struct counts *before)
{
	struct counts after = count(model, target);

	return target->holder == target->client ? after.dropped - before->dropped
						: before->shared_sum - after.shared_sum;
}

static void choose_target(struct model *model, struct target *target)
{
	u32 where = choose(model, POOLS * OBJECTS * INDICES);

	target->client_number = choose(model, model->config.clients);
	target->client = &model->clients[target->client_number];
	target->pool_number = where % POOLS;
	target->pool = &target->client->pools[target->pool_number];
	target->object = where / POOLS % OBJECTS;
	target->index = where / POOLS / OBJECTS;
	target->holder = target->pool_number == SHARED ? owner_of(model) : target->client;
	target->place = &target->holder->pools[target->pool_number];
	target->entry = &target->place->entries[target->object][target->index];
	target->handle.index = page_index(target->index);
	target->handle.pool = target->pool->exists ? target->pool->id : 15;
	object_key(target->object, target->handle.object);
}

static bool usable(const struct target *target)
{
	return target->pool->exists && !target->pool->dying;
}

static u64 object_sum(const struct target *target)
{
	const u64 *keys = target->client->hash_keys, *object = target->handle.object;

	if (target->pool->filtered)
		return tmem_filter_object(target->pool->window.key, object);
	return hash_words(keys, object[0], object[1], object[2]) +
	       keys[0] * (u64)(target->pool->id + 1);
}

static u32 sample_word(const struct target *target)
{
	return (u32)((object_sum(target) >> 32) + target->handle.index * 2654435769UL);
}

/* An operation on a page was told of if it was to be; @counts: it reached the pool. */
static bool was_told(struct target *target, enum tmem_event event, bool counts)
{
	bool expected = counts && target->holder == target->client &&
			sample_word(target) < SAMPLED_KEYS;
	u64 *hash = &target->pool->hashes[target->object][target->index];

	if (counts && target->holder == target->client) {
		target->client->puts += event == TMEM_EVENT_PUT;
		target->client->gets += event == TMEM_EVENT_GET;
	}
	CHECK(told.count == expected, "told %u times of an operation in place of %u", told.count,
		expected);
	if (!expected)
		return true;
	CHECK(told.owner == target->client && told.event == event, "told of something else");
	CHECK(told.sample.hash >> 32 == sample_word(target), "told a hash of %#llx for %#x",
		(unsigned long long)told.sample.hash, sample_word(target));
	CHECK(!*hash || *hash == told.sample.hash, "a page has another hash than before");
	*hash = told.sample.hash;
	CHECK(told.sample.puts == target->client->puts && told.sample.gets == target->client->gets,
		"told %llu puts and %llu gets in place of %llu and %llu",
		(unsigned long long)told.sample.puts, (unsigned long long)told.sample.gets,
		(unsigned long long)target->client->puts, (unsigned long long)target->client->gets);
	return true;
}

/* A page that the model still had and the store has not: it was evicted. */
static bool lost(struct model *model, struct target *target)
{
	CHECK(!model->config.exact, "page lost that no eviction explains");
	CHECK(!target->place->persistent, "persistent page lost");
	forget(target->holder, target->place, target->entry);
	target->holder->evictions++;
	return true;
}

static void make_newest(struct model *model, struct target *target)
{
	target->entry->age = ++model->age;
	tidy_queue(target->holder);
	enqueue(target->holder, (struct queued){target->entry->age, (u8)target->pool_number,
					(u8)target->object, (u8)target->index});
}

static bool store_in_model(struct model *model, struct target *target, u64 seed, bool is_new)
{
	struct entry *entry = target->entry;

	entry->seed = seed;
	if (!is_new)
		return true;
	if (target->place->persistent) {
		target->holder->persistent++;
		return true;
	}
	target->holder->ephemeral++;
	make_newest(model, target);
	return true;
}

/* A frame of a guest's, whatever allocations of the store fail; NULL if memory is short. */
static void *guest_frame(void)
{
	u64 until = host_allocations_until_failure;
	void *frame;

	host_allocations_until_failure = ~0UL;
	frame = tmem_port_alloc(0);
	host_allocations_until_failure = until;
	return frame;
}

/* A put by copy, or by a frame that the store may keep. What it did not keep, and the page that was
 * copied, are spoiled afterwards. */
static int put_page(struct model *model, struct target *target, u64 seed, bool flip)
{
	struct tmem_client *client = target->client->client;
	void *frame = flip ? guest_frame() : NULL;
	void *page = frame ? frame : model->page;
	bool taken = false;
	int result;

	host_fill_page(page, seed);
	result = frame ? tmem_put_flip(client, &target->handle, frame, &taken)
		       : tmem_put(client, &target->handle, page);
	model->flips += taken;
	if (!taken)
		memset(page, 0x5a, 64);
	if (frame && !taken)
		tmem_port_free(frame, 0);
	return result;
}

/* A get into model->page, or by a frame whose content goes there. */
static int get_page(struct model *model, struct target *target, bool flip)
{
	struct tmem_client *client = target->client->client;
	void *frame = NULL;
	int result;

	memset(model->page, 0xa5, PAGE_SIZE);
	if (!flip)
		return tmem_get(client, &target->handle, model->page);
	result = tmem_get_flip(client, &target->handle, model->page, &frame);
	if (!frame)
		return result;
	model->flips++;
	memcpy(model->page, frame, PAGE_SIZE);
	tmem_port_free(frame, 0);
	return result;
}

static bool has_modes(const struct model *model)
{
	return model->config.ephemeral_modes | model->config.persistent_modes;
}

static bool step_put(struct model *model, struct target *target, bool bad_frame)
{
	bool flip = choose(model, 2);
	struct model_client *client = target->client;
	struct counts before = count(model, target), after;
	u64 seed = ++model->seed;
	bool replaced, dropped, expected = true;
	int result;

	if (has_modes(model))
		seed |= (u64)choose(model, HOST_PAGE_KINDS) << HOST_KIND_SHIFT;
	if (model->config.exact && usable(target) && !bad_frame && !client->frozen &&
		!target->entry->seed) {
		if (target->pool->persistent && client->persistent >= model->config.persistent_max)
			expected = false;
		else
			expected = model_make_room(model, target->holder, target->pool->persistent);
	}
	told.count = 0;
	result = bad_frame ? tmem_put(client->client, &target->handle, NULL)
			   : put_page(model, target, seed, flip);
	if (!was_told(target, TMEM_EVENT_PUT, result != -SLUICE_EBADF && result != -SLUICE_EFAULT))
		return false;
	after = count(model, target);

	if (!usable(target)) {
		CHECK(result == -SLUICE_EBADF, "put to a bad pool: %d", result);
		return true;
	}
	if (bad_frame || client->frozen) {
		CHECK(result == (bad_frame ? -SLUICE_EFAULT : -SLUICE_ENOSPC),
			"put of a bad frame, or frozen: %d", result);
		CHECK(target->holder != client || !flushed_since(model, target, &before),
			"a put counts as a flush");
		if (target->entry->seed && !dropped_since(model, target, &before))
			return lost(model, target);
		forget(target->holder, target->place, target->entry);
		return true;
	}
	CHECK(result == 0 || result == -SLUICE_ENOMEM || result == -SLUICE_ENOSPC, "put: %d",
		result);
	replaced = target->holder == client ? after.replaced != before.replaced
					    : !result && after.shared_sum == before.shared_sum;
	CHECK(!replaced || target->entry->seed, "a page replaced that was not there");
	dropped = result && dropped_since(model, target, &before);
	CHECK(!dropped || target->entry->seed, "a page dropped that was not there");
	if (!replaced && !dropped && target->entry->seed && !lost(model, target))
		return false;
	if (result == 0)
		return store_in_model(model, target, seed, !replaced);
	CHECK(!replaced, "replaced by a put that failed: %d", result);
	/* With modes a replacement is a new page, for which there may be no room. */
	CHECK(!dropped || has_modes(model), "a replacement refused: %d", result);
	forget(target->holder, target->place, target->entry);
	CHECK(!model->config.exact || !expected, "put refused without need: %d", result);
	CHECK(!model->config.exact ||
			result == (target->pool->persistent && client->persistent >=
								       model->config.persistent_max
						  ? -SLUICE_ENOSPC
						  : -SLUICE_ENOMEM),
		"put refused with %d", result);
	return true;
}

/* What the miss filter says to be absent is, once some pool has one. */
static bool check_filter(struct model *model, struct target *target)
{
	struct model_pool *pool = target->pool;
	struct tmem_client *client = target->client->client;
	int result;

	if (!pool->filtered) {
		if (choose(model, 64))
			return true;
		result = guest_window_open(&pool->window, client, pool->id);
		if (target->holder != target->client) {
			CHECK(result == -SLUICE_EINVAL, "a filter of a shared pool: %d", result);
			return true;
		}
		CHECK(result == 0 || result == -SLUICE_EAGAIN || result == -SLUICE_ENOMEM,
			"opening a filter: %d", result);
		pool->filtered = result == 0;
		if (pool->filtered)
			memset(pool->hashes, 0, sizeof(pool->hashes));
	}
	if (choose(model, 8) == 0)
		guest_windows_step(client);
	if (!pool->filtered || !guest_surely_lacks(&pool->window, target->handle))
		return true;
	CHECK(sample_word(target) >= SAMPLED_KEYS, "a filter hides a sampled page");
	result = tmem_get(client, &target->handle, model->page);
	target->client->gets++;
	CHECK(result == -SLUICE_ENOENT, "the filter says absent, a get %d", result);
	return target->entry->seed ? lost(model, target) : true;
}

static bool step_get(struct model *model, struct target *target, bool bad_frame)
{
	int result;

	/* A filter takes memory, so that evictions cannot be foretold. */
	if (!model->config.exact && usable(target) && !check_filter(model, target))
		return false;
	told.count = 0;
	result = bad_frame ? tmem_get(target->client->client, &target->handle, NULL)
			   : get_page(model, target, choose(model, 2));
	if (!was_told(target, TMEM_EVENT_GET, result != -SLUICE_EBADF && !bad_frame))
		return false;
	if (!usable(target)) {
		CHECK(result == -SLUICE_EBADF, "get from a bad pool: %d", result);
		return true;
	}
	if (bad_frame) {
		CHECK(result == -SLUICE_EFAULT, "get to a bad frame: %d", result);
		return true;
	}
	if (result == -SLUICE_ENOENT)
		return target->entry->seed ? lost(model, target) : true;
	CHECK(result == 0, "get: %d", result);
	CHECK(target->entry->seed, "a hit for a page that is not stored");
	CHECK(host_page_holds(model->page, target->entry->seed), "wrong contents");
	if (target->holder != target->client)
		make_newest(model, target);
	else if (!target->pool->persistent)
		forget(target->client, target->pool, target->entry);
	return true;
}

static bool step_flush_page(struct model *model, struct target *target)
{
	struct counts before = count(model, target);
	u64 flushed;
	int result;

	told.count = 0;
	result = tmem_flush_page(target->client->client, &target->handle);
	if (!was_told(target, TMEM_EVENT_FLUSH, result == 0))
		return false;
	flushed = flushed_since(model, target, &before);
	CHECK(result == (target->pool->exists ? 0 : -SLUICE_EBADF), "flush: %d", result);
	if (!usable(target))
		return true;
	if (target->entry->seed && !flushed)
		return lost(model, target);
	CHECK(flushed == !!target->entry->seed, "flush removed a page that is not stored");
	forget(target->holder, target->place, target->entry);
	return true;
}

static bool step_flush_object(struct model *model, struct target *target)
{
	struct counts before = count(model, target);
	u64 present = 0, flushed;
	int result;

	do
		result = tmem_flush_object(target->client->client, &target->handle);
	while (result == -SLUICE_EAGAIN);
	flushed = flushed_since(model, target, &before);
	CHECK(result == (target->pool->exists ? 0 : -SLUICE_EBADF), "flush object: %d", result);
	if (!usable(target))
		return true;
	for (u32 index = 0; index < INDICES; index++) {
		struct entry *entry = &target->place->entries[target->object][index];

		present += entry->seed != 0;
		forget(target->holder, target->place, entry);
	}
	CHECK(flushed <= present, "more pages flushed than stored");
	CHECK(flushed == present || !(model->config.exact || target->pool->persistent),
		"fewer pages flushed than stored");
	target->holder->evictions += present - flushed;
	return true;
}

/* Takes a seat at the shared pool, or gives it up; the pool itself stays. */
static bool step_seat(struct model *model, struct target *target)
{
	struct model_pool *pool = target->pool;
	u32 weight = model->config.weights[target->client_number];
	int result;

	if (pool->exists) {
		result = tmem_pool_destroy(target->client->client, pool->id);
		CHECK(result == 0, "leaving the shared pool: %d", result);
		pool->exists = false;
		owner_of(model)->weight -= weight;
		return true;
	}
	result = tmem_pool_create(target->client->client, TMEM_POOL_SHARED, 9, 9);
	if (result == -SLUICE_ENOMEM && !model->config.exact)
		return true;
	CHECK(result >= 0, "joining the shared pool: %d", result);
	pool->id = result;
	pool->exists = true;
	owner_of(model)->weight += weight;
	return true;
}

static bool step_freeze(struct target *target)
{
	target->client->frozen = !target->client->frozen;
	tmem_client_freeze(target->client->client, target->client->frozen);
	return true;
}

/* Creates a pool, or takes one step (or all) of its destruction. */
static bool step_pool(struct model *model, struct target *target)
{
	struct model_pool *pool = target->pool;
	struct tmem_client *client = target->client->client;
	struct tmem_client_stats before, after;
	u64 present = 0, off = 0;
	int result;

	/* Now and then without some of the modes. */
	if (has_modes(model) && !pool->exists && choose(model, 4) == 0)
		off = (u64)choose(model, 8) << TMEM_POOL_NO_SHIFT;
	if (target->pool_number == SHARED)
		return step_seat(model, target);
	if (!pool->exists) {
		pool->persistent = target->pool_number == 1;
		result = tmem_pool_create(client,
			(pool->persistent ? TMEM_POOL_PERSISTENT : 0) | off, model->seed, 0);
		if (result == -SLUICE_ENOMEM && !model->config.exact)
			return true;
		CHECK(result >= 0 && result < TMEM_POOLS_PER_GUEST, "pool create: %d", result);
		pool->id = result;
		pool->exists = true;
		pool->filtered = false;
		memset(pool->hashes, 0, sizeof(pool->hashes));
		return true;
	}
	if (!pool->dying) {
		for (u32 object = 0; object < OBJECTS; object++)
			for (u32 index = 0; index < INDICES; index++)
				present += pool->entries[object][index].seed != 0;
		/* Only the first step counts what was evicted before; the rest must fit. */
		tmem_client_stats(client, &before);
		do
			result = tmem_pool_destroy(client, pool->id);
		while (result == -SLUICE_EAGAIN && choose(model, 4));
		tmem_client_stats(client, &after);
		CHECK(after.flushed_pages - before.flushed_pages <= present,
			"destroy freed more pages than stored");
		if (result == 0) {
			target->client->evictions += present -
						     (after.flushed_pages - before.flushed_pages);
			forget_pool(target->client, pool);
			pool->exists = false;
			return true;
		}
		/* What is left goes without being looked at: see step_pool() below. */
		pool->dying = true;
	}
	tmem_client_stats(client, &before);
	do
		result = tmem_pool_destroy(client, pool->id);
	while (result == -SLUICE_EAGAIN);
	tmem_client_stats(client, &after);
	CHECK(result == 0, "pool destroy: %d", result);
	forget_pool(target->client, pool);
	pool->exists = false;
	pool->dying = false;
	/* How many of its pages had been evicted meanwhile is not known: take the store's counts.
	 */
	target->client->evictions = after.evictions;
	CHECK(model->config.exact || after.ephemeral_pages <= target->client->ephemeral,
		"the store has pages that the model has not");
	target->client->evictions -= target->client->ephemeral - after.ephemeral_pages;
	return true;
}

static bool step_reclaim(struct model *model)
{
	u32 max = choose(model, 64) + 1;
	unsigned count = tmem_reclaim(model->tmem, model->reclaimed, max);

	CHECK(count <= max, "reclaim returned %u of %u pages", count, max);
	for (unsigned i = 0; i < count; i++) {
		CHECK(host_page_is_in_use(model->reclaimed[i]), "reclaimed a page that is free");
		memset(model->reclaimed[i], 0xee, PAGE_SIZE);
		tmem_port_free(model->reclaimed[i], 0);
	}
	return true;
}

static bool step_bad_arguments(struct model *model, struct target *target)
{
	static const s32 bad[] = {-1, -16, 16, 17, 255, 0x7fffffff, -0x7fffffff - 1};
	struct tmem_client *client = target->client->client;
	s32 pool = bad[choose(model, ARRAY_SIZE(bad))];

	target->handle.pool = pool;
	CHECK(tmem_put(client, &target->handle, model->page) == -SLUICE_EBADF &&
			tmem_get(client, &target->handle, model->page) == -SLUICE_EBADF &&
			tmem_flush_page(client, &target->handle) == -SLUICE_EBADF &&
			tmem_flush_object(client, &target->handle) == -SLUICE_EBADF &&
			tmem_pool_destroy(client, pool) == -SLUICE_EBADF &&
			tmem_pool_destroy(client, 0x100000000L + target->pool->id) == -SLUICE_EBADF,
		"pool %d accepted", pool);
	CHECK(tmem_pool_create(client, TMEM_POOL_SHARED, 1, 2) == -SLUICE_EINVAL &&
			tmem_pool_create(client, 0x80UL << choose(model, 57), 0, 0) ==
				-SLUICE_EINVAL &&
			tmem_pool_create(client, 4UL << choose(model, 2), 0, 0) == -SLUICE_EINVAL,
		"bad flags accepted");
	return true;
}

/* The guest dies, and another takes its place. */
static bool step_restart(struct model *model, struct target *target)
{
	struct model_client *client = target->client;
	int result;

	do
		result = tmem_client_destroy(client->client);
	while (result == -SLUICE_EAGAIN);
	CHECK(result == 0, "client destroy: %d", result);
	if (client->pools[SHARED].exists)
		owner_of(model)->weight -= client->weight;
	for (u32 pool = 0; pool < POOLS; pool++) {
		forget_pool(client, &client->pools[pool]);
		client->pools[pool].exists = false;
		client->pools[pool].dying = false;
	}
	client->head = client->tail = 0;
	client->evictions = 0;
	CHECK(client->ephemeral == 0 && client->persistent == 0, "the model is wrong");
	host_allocations_until_failure = ~0UL;
	CHECK(create_client(model, target->client_number), "no client after one died");
	return true;
}

/* A tick, another weight, or other caps: most times none, so that there is something to store. */
static bool step_control(struct model *model, struct target *target)
{
	struct tmem_client *client = target->client->client;
	bool capped = choose(model, 4) == 0;
	u64 persistent_max = capped ? choose(model, 200) : model->config.persistent_max;
	u64 ephemeral_max = capped ? choose(model, 200) : TMEM_UNLIMITED;
	struct tmem_client_stats stats;
	int result;

	if (choose(model, 2)) {
		tmem_tick(model->tmem);
		return true;
	}
	CHECK(tmem_client_set_weight(client, choose(model, 65535) + 1) == 0, "a weight refused");
	do
		result = tmem_client_set_caps(client, persistent_max, ephemeral_max);
	while (result == -SLUICE_EAGAIN);
	CHECK(result == 0, "set caps: %d", result);
	tmem_client_stats(client, &stats);
	CHECK(stats.ephemeral_pages <= ephemeral_max, "%llu pages over a cap of %llu",
		(unsigned long long)stats.ephemeral_pages, (unsigned long long)ephemeral_max);
	return true;
}

bool model_step(struct model *model)
{
	struct target target;
	u32 what = choose(model, 1000);

	choose_target(model, &target);
	if (!model->config.exact && what < 40)
		host_allocations_until_failure = choose(model, 12);
	if (choose(model, target.client->frozen ? 30 : 1000) == 0)
		return step_freeze(&target);
	what = choose(model, 1000);
	if (what < 420)
		return step_put(model, &target, false);
	if (what < 780)
		return step_get(model, &target, false);
	if (what < 900)
		return step_flush_page(model, &target);
	if (what < 930)
		return step_flush_object(model, &target);
	if (what < 945)
		return target.pool->exists && choose(model, 20) ? true : step_pool(model, &target);
	if (what < 960)
		return step_put(model, &target, true);
	if (what < 975)
		return step_get(model, &target, true);
	if (what < 985)
		return step_bad_arguments(model, &target);
	if (what < 986 && choose(model, 20) == 0)
		return step_restart(model, &target);
	if (model->config.exact)
		return true;
	return what < 990 ? step_control(model, &target) : step_reclaim(model);
}

static void visit_page(void *page, void *argument)
{
	u64 *count = argument;

	/* A frame visited that is free, or twice, shows in the sum. */
	*count += host_page_is_in_use(page);
}

bool model_check(struct model *model)
{
	struct tmem_pool_info shared;
	struct tmem_stats stats;
	u64 visited = 0, stored = 0, unknown;

	CHECK(tmem_audit(model->tmem, visit_page, &visited) == 0, "audit: %s", host_last_complaint);
	CHECK(visited == host_pages_in_use(), "audit visited %llu of %llu pages",
		(unsigned long long)visited, (unsigned long long)host_pages_in_use());
	for (u32 i = 0; i < model->config.clients; i++) {
		struct model_client *client = &model->clients[i];
		struct tmem_client_stats counts;

		tmem_client_stats(client->client, &counts);
		unknown = counts.evictions - client->evictions;
		CHECK(counts.persistent_pages == client->persistent,
			"client %u: %llu persistent pages, not %llu", i,
			(unsigned long long)counts.persistent_pages,
			(unsigned long long)client->persistent);
		CHECK(counts.ephemeral_pages + unknown == client->ephemeral,
			"client %u: %llu ephemeral pages and %llu evictions, not %llu", i,
			(unsigned long long)counts.ephemeral_pages, (unsigned long long)unknown,
			(unsigned long long)client->ephemeral);
		CHECK(!model->config.exact || unknown == 0, "client %u: evictions not foretold", i);
		stored += counts.ephemeral_pages + counts.persistent_pages;
	}
	shared = shared_info(model);
	unknown = shared.evictions - owner_of(model)->evictions;
	CHECK(shared.pages + unknown == owner_of(model)->ephemeral,
		"shared pool: %llu pages and %llu evictions, not %llu",
		(unsigned long long)shared.pages, (unsigned long long)unknown,
		(unsigned long long)owner_of(model)->ephemeral);
	CHECK(!model->config.exact || unknown == 0, "shared pool: evictions not foretold");
	stored += shared.pages;
	tmem_stats(model->tmem, &stats);
	CHECK(stats.ephemeral_pages + stats.persistent_pages == stored, "the store's counts");
	CHECK(!model->config.max_pages || stats.frames <= model->config.max_pages,
		"%llu frames held", (unsigned long long)stats.frames);
	return true;
}

u64 model_flips(const struct model *model)
{
	return model->flips;
}

bool model_finish(struct model *model)
{
	bool good = true;

	for (u32 i = 0; i <= model->config.clients; i++) {
		while (tmem_client_destroy(model->clients[i].client) == -SLUICE_EAGAIN)
			;
		free(model->clients[i].queue);
	}
	tmem_destroy(model->tmem);
	if (host_pages_in_use())
		good = fail("%llu pages leaked", (unsigned long long)host_pages_in_use());
	host_memory_exit();
	free(model->page);
	free(model->reclaimed);
	free(model);
	return good;
}
