/*
 * The tmem engine against a plain model, with random operations: every result, every page's whole
 * contents and all counts are compared. TMEM_SEED sets the seed, TMEM_STEPS the operations of each
 * test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/model.h"
#include "tests/unit/tmem_host/port.h"

#define STEPS_DEFAULT 400000UL

static u64 from_environment(const char *name, u64 fallback)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : fallback;
}

static u32 choose_randomly(void *state, u32 bound)
{
	return (u32)((host_random(state) >> 32) * bound >> 32);
}

static void play(const struct model_config *config)
{
	u64 seed = from_environment("TMEM_SEED", 1);
	u64 steps = from_environment("TMEM_STEPS", STEPS_DEFAULT);
	u64 state = seed;
	struct model *model = model_create(config, choose_randomly, &state);

	for (u64 i = 0; i < steps; i++)
		if (!model_step(model) || (i % 8192 == 0 && !model_check(model)))
			fail_msg("seed %llu, step %llu: %s", (unsigned long long)seed,
				(unsigned long long)i, model_error());
	/* A page that may be compressed or equal to another is always copied. */
	if (!((config->ephemeral_modes | config->persistent_modes) & ~TMEM_MODE_FILLED) &&
		steps >= STEPS_DEFAULT)
		assert_true(model_flips(model) > steps / 4000);
	if (!model_check(model) || !model_finish(model))
		fail_msg("seed %llu, at the end: %s", (unsigned long long)seed, model_error());
}

static void one_client_with_room(void **state)
{
	(void)state;
	play(&(struct model_config){.memory_pages = 8192,
		.clients = 1,
		.max_pages = 6144,
		.weights = {1},
		.persistent_max = ~0UL,
		.exact = true});
}

static void one_client_that_evicts(void **state)
{
	(void)state;
	play(&(struct model_config){.memory_pages = 4096,
		.clients = 1,
		.max_pages = 1500,
		.weights = {1},
		.persistent_max = 700,
		.exact = true});
}

static void three_clients_share_by_weight(void **state)
{
	(void)state;
	play(&(struct model_config){.memory_pages = 4096,
		.clients = 3,
		.max_pages = 1024,
		.weights = {1, 5, 100},
		.persistent_max = 150,
		.exact = true});
}

static void tiny_pool(void **state)
{
	(void)state;
	play(&(struct model_config){.memory_pages = 4096,
		.clients = 4,
		.max_pages = 7,
		.weights = {1, 1, 1, 1},
		.persistent_max = 3,
		.exact = true});
}

static void failing_allocations_and_reclaim(void **state)
{
	(void)state;
	play(&(struct model_config){
		.memory_pages = 4096, .clients = 3, .weights = {1, 2, 3}, .persistent_max = 500});
}

static void memory_is_the_limit(void **state)
{
	(void)state;
	play(&(struct model_config){
		.memory_pages = 1024, .clients = 3, .weights = {1, 2, 3}, .persistent_max = 200});
}

static void all_keys_collide(void **state)
{
	(void)state;
	play(&(struct model_config){.memory_pages = 4096,
		.clients = 2,
		.weights = {1, 2},
		.persistent_max = 800,
		.max_pages = 3000,
		.bad_keys = true});
}

static void play_modes(u8 modes, u64 memory_pages, u64 max_pages)
{
	play(&(struct model_config){.memory_pages = memory_pages,
		.clients = 3,
		.weights = {1, 2, 3},
		.persistent_max = 800,
		.max_pages = max_pages,
		.ephemeral_modes = modes,
		.persistent_modes = modes});
}

static void zero_and_filled_pages(void **state)
{
	(void)state;
	play_modes(TMEM_MODE_FILLED, 4096, 1000);
	play_modes(TMEM_MODE_FILLED, 1024, 0);
}

static void equal_pages(void **state)
{
	(void)state;
	play_modes(TMEM_MODE_DEDUP, 4096, 1000);
	play_modes(TMEM_MODE_DEDUP | TMEM_MODE_FILLED, 1024, 0);
}

static void compressed_pages(void **state)
{
	(void)state;
	play_modes(TMEM_MODE_COMPRESS, 4096, 700);
	play_modes(TMEM_MODE_COMPRESS, 1024, 0);
}

static void all_modes(void **state)
{
	const u8 all = TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS;

	(void)state;
	play_modes(all, 8192, 0);
	play_modes(all, 4096, 500);
	play_modes(all, 1024, 0);
}

static void groups_of_clients(void **state)
{
	const u8 modes[] = {TMEM_MODE_DEDUP, TMEM_MODE_DEDUP | TMEM_MODE_FILLED,
		TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS};

	(void)state;
	for (unsigned i = 0; i < sizeof(modes); i++) {
		struct model_config config = {.memory_pages = i ? 4096 : 1024,
			.clients = 4,
			.weights = {1, 2, 3, 2},
			.persistent_max = 800,
			.max_pages = i ? 500 : 0,
			.ephemeral_modes = modes[i],
			.persistent_modes = modes[i],
			.groups = true};

		play(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_client_with_room),
		cmocka_unit_test(one_client_that_evicts),
		cmocka_unit_test(three_clients_share_by_weight),
		cmocka_unit_test(tiny_pool),
		cmocka_unit_test(failing_allocations_and_reclaim),
		cmocka_unit_test(memory_is_the_limit),
		cmocka_unit_test(all_keys_collide),
		cmocka_unit_test(zero_and_filled_pages),
		cmocka_unit_test(equal_pages),
		cmocka_unit_test(compressed_pages),
		cmocka_unit_test(all_modes),
		cmocka_unit_test(groups_of_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
