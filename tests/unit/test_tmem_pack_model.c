/*
 * Packs: random operations against a plain reference (tmem_host/pack_model.h). PACK_SEED and
 * PACK_STEPS choose what the model plays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/pack_model.h"
#include "tests/unit/tmem_host/port.h"

static u64 from_environment(const char *name, u64 otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static u32 choose_random(void *argument, u32 bound)
{
	return (u32)(host_random(argument) % bound);
}

static void play(const struct pack_model_config *config, u64 steps)
{
	u64 seed = from_environment("PACK_SEED", 1);
	struct pack_model *model = pack_model_create(config, choose_random, &seed);

	steps = from_environment("PACK_STEPS", steps);
	for (u64 i = 0; i < steps; i++) {
		if (!pack_model_step(model) || (i % 256 == 0 && !pack_model_check(model)))
			fail_msg("step %llu: %s", (unsigned long long)i, pack_model_error());
	}
	if (!pack_model_check(model) || !pack_model_finish(model))
		fail_msg("at the end: %s", pack_model_error());
}

static void two_to_one(void **state)
{
	(void)state;
	play(
		&(struct pack_model_config){
			.memory_pages = 8192, .fragments = 1500, .shortest = 1500, .longest = 2600},
		30000);
}

static void all_lengths(void **state)
{
	(void)state;
	/* Those that are refused too. */
	play(
		&(struct pack_model_config){
			.memory_pages = 8192, .fragments = 1000, .shortest = 0, .longest = 3100},
		30000);
}

static void very_short_ones(void **state)
{
	(void)state;
	play(
		&(struct pack_model_config){
			.memory_pages = 4096, .fragments = 2000, .shortest = 20, .longest = 400},
		30000);
}

static void no_memory_now_and_then(void **state)
{
	(void)state;
	play(&(struct pack_model_config){.memory_pages = 2048,
		     .fragments = 1000,
		     .shortest = 20,
		     .longest = 3064,
		     .failures = true},
		30000);
}

static void a_store_that_is_full(void **state)
{
	(void)state;
	play(&(struct pack_model_config){.memory_pages = 2048,
		     .max_pages = 300,
		     .fragments = 1000,
		     .shortest = 300,
		     .longest = 3000},
		30000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_to_one),
		cmocka_unit_test(all_lengths),
		cmocka_unit_test(very_short_ones),
		cmocka_unit_test(no_memory_now_and_then),
		cmocka_unit_test(a_store_that_is_full),
	};

	return cmocka_run_group_tests_name("tmem_pack_model", tests, NULL, NULL);
}
