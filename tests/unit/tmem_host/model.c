/*
 * The model of the tmem store (model.h): its life, how it chooses what to do next, and the check of
 * all that the store counts (model_parts.h).
 */
#include "tests/unit/tmem_host/model_parts.h"

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char error[256];

const char *model_error(void)
{
	return error;
}

bool model_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, sizeof(error), format, arguments);
	va_end(arguments);
	return false;
}

/* ---- Life --------------------------------------------------------------------------- */

bool create_client(struct model *model, u32 number)
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

	if (!model->config.bad_keys)
		tmem_port_random(config.hash_keys, ARRAY_SIZE(config.hash_keys));
	memcpy(client->hash_keys, config.hash_keys, sizeof(client->hash_keys));
	client->puts = client->gets = 0;
	client->weight = config.weight;
	client->client = tmem_client_create(model->tmem, &config);
	client->frozen = false;
	return client->client != NULL &&
	       (!is_owner || tmem_pool_create(client->client, TMEM_POOL_SHARED, 9, 9) == 0);
}

struct tmem_pool_info shared_info(struct model *model)
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
		good = model_fail("%llu pages leaked", (unsigned long long)host_pages_in_use());
	host_memory_exit();
	free(model->page);
	free(model->reclaimed);
	free(model);
	return good;
}

/* ---- Steps -------------------------------------------------------------------------- */

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

/* ---- The check ---------------------------------------------------------------------- */

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
