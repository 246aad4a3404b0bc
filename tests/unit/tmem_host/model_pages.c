/*
 * Puts, gets and flushes, by copy and by frame, in the store and in the model (model_parts.h): what
 * comes back, what was replaced, dropped or lost, and what is told of sampled pages.
 */
#include "tests/unit/tmem_host/model_parts.h"

#include <abi/errno.h>
#include <string.h>

#include "tests/unit/tmem_host/port.h"
#include "tmem/table.h"

/* ---- What is told of sampled pages -------------------------------------------------- */

static struct {
	unsigned count; /* since the operation began */
	void *owner;
	enum tmem_event event;
	struct tmem_sample sample;
} told;

void note_told(void *owner, enum tmem_event event, const struct tmem_sample *sample)
{
	told.count++;
	told.owner = owner;
	told.event = event;
	told.sample = *sample;
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

/* ---- What is counted ---------------------------------------------------------------- */

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

/* ---- Puts and gets ------------------------------------------------------------------- */

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

bool step_put(struct model *model, struct target *target, bool bad_frame)
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
	if (result == 0) {
		store_in_model(model, target, seed, !replaced);
		return true;
	}
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

bool step_get(struct model *model, struct target *target, bool bad_frame)
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

/* ---- Flushes ------------------------------------------------------------------------- */

bool step_flush_page(struct model *model, struct target *target)
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

bool step_flush_object(struct model *model, struct target *target)
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
