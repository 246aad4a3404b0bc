/*
 * The store that is measured, and its clients.
 */
#include "tests/bench/tmem/bench.h"

#include <abi/errno.h>
#include <abi/hypercall.h>

static void *owner; /* the guest whose estimator is behind new clients */
u64 first_key_state = 1;
static u64 key_state;

struct tmem_client *new_client(void)
{
	struct tmem_client_config config = {
		.weight = 1,
		.persistent_max = ~0UL,
		.sample_threshold = owner ? bench_guest_threshold(owner) : 0,
		.owner = owner,
		.ephemeral_modes = mode->modes,
		.persistent_modes = mode->modes,
		.guest_pages = mode->adapts ? pages / 4 : 0,
	};
	struct tmem_client *created;

	for (unsigned i = 0; i < ARRAY_SIZE(config.hash_keys); i++) {
		key_state = key_state * 6364136223846793005UL + 1442695040888963407UL;
		config.hash_keys[i] = key_state ^ key_state >> 29;
	}
	created = tmem_client_create(tmem, &config);
	must(created && tmem_pool_create(created, 0, 0, 0) == 0 &&
			tmem_pool_create(created, TMEM_POOL_PERSISTENT, 0, 0) == 1,
		"a client");
	return created;
}

void new_store(u64 max_pages, bool sampled)
{
	struct tmem_config config = {.max_pages = max_pages};

	key_state = first_key_state;
	tmem = tmem_create(&config);
	must(tmem, "a store");
	owner = sampled ? bench_guest_create(pages / 2) : NULL;
	must(owner || !sampled, "a guest");
	client = new_client();
}

void end_store(void)
{
	while (tmem_client_destroy(client) == -SLUICE_EAGAIN)
		;
	tmem_destroy(tmem);
	if (!owner)
		return;
	must(bench_guest_told(owner) > 0, "the sample");
	bench_guest_destroy(owner);
	owner = NULL;
}

double overhead(void)
{
	struct tmem_stats stats;

	tmem_stats(tmem, &stats);
	if (mode->modes && !mode->adapts)
		return (double)stats.metadata_bytes / (double)pages;
	return (double)(stats.frames * PAGE_SIZE + stats.metadata_bytes - pages * PAGE_SIZE) /
	       (double)pages;
}
