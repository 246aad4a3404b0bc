/*
 * All operations of one shape: with room, persistent, flushed, and where the store is full.
 */
#include "tests/bench/tmem/bench.h"

#include <abi/errno.h>
#include <abi/hypercall.h>

void with_room(const struct shape *shape)
{
	static struct samples samples[OPERATIONS];
	double bytes = 0;

	new_store(0, shape->sampled);
	measure(NOTHING, shape, 1, 0, NULL);
	for (unsigned i = 0; i < repetitions; i++) {
		measure(PUT, shape, 1, i, &samples[PUT]);
		bytes = overhead();
		measure(GET_MISS, shape, 1, i, &samples[GET_MISS]);
		measure(GET_MISS_PAGE, shape, 1, i, &samples[GET_MISS_PAGE]);
		measure(GET_HIT, shape, 1, i, &samples[GET_HIT]);
	}
	end_store();
	print(PUT, shape, &samples[PUT], bytes);
	print(GET_HIT, shape, &samples[GET_HIT], 0);
	print(GET_MISS, shape, &samples[GET_MISS], 0);
	print(GET_MISS_PAGE, shape, &samples[GET_MISS_PAGE], 0);
}

void persistent(const struct shape *shape)
{
	static struct samples samples[OPERATIONS];
	double bytes = 0;

	new_store(0, shape->sampled);
	for (unsigned i = 0; i < repetitions; i++) {
		measure(PUT_PERSISTENT, shape, 1, i, &samples[PUT_PERSISTENT]);
		bytes = overhead();
		measure(GET_PERSISTENT, shape, 1, i, &samples[GET_PERSISTENT]);
		must(tmem_pool_destroy(client, 1) == -SLUICE_EAGAIN, "destroying a pool");
		while (tmem_pool_destroy(client, 1) == -SLUICE_EAGAIN)
			;
		must(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0) == 1, "a pool");
	}
	end_store();
	print(PUT_PERSISTENT, shape, &samples[PUT_PERSISTENT], bytes);
	print(GET_PERSISTENT, shape, &samples[GET_PERSISTENT], 0);
}

void flushes(const struct shape *shape)
{
	static struct samples samples[OPERATIONS];

	new_store(0, shape->sampled);
	for (unsigned i = 0; i < repetitions; i++) {
		for (u64 first = 0; first < pages; first += CHUNK)
			run_chunk(PUT, shape, 1, first);
		measure(FLUSH_PAGE, shape, 1, i, &samples[FLUSH_PAGE]);
		if (shape->random)
			continue;
		for (u64 first = 0; first < pages; first += CHUNK)
			run_chunk(PUT, shape, 1, first);
		measure(FLUSH_OBJECT, shape, 1, i, &samples[FLUSH_OBJECT]);
	}
	end_store();
	print(FLUSH_PAGE, shape, &samples[FLUSH_PAGE], 0);
	if (!shape->random)
		print(FLUSH_OBJECT, shape, &samples[FLUSH_OBJECT], 0);
}

void when_full(const struct shape *shape, unsigned rounds)
{
	static struct samples samples;
	struct tmem_client_stats before, after;
	double bytes;

	new_store(pages, shape->sampled);
	for (u64 round = 0; round < rounds; round++)
		for (u64 first = 0; first < pages; first += CHUNK)
			run_chunk(PUT, shape, 1 + (round << 20), first);
	tmem_client_stats(client, &before);
	for (unsigned i = 0; i < repetitions; i++)
		measure(PUT_FULL, shape, (u64)(i + 1) << 24, i, &samples);
	tmem_client_stats(client, &after);
	must((after.evictions - before.evictions) * 10 >= (u64)pages * repetitions * 9,
		"a full store");
	bytes = overhead();
	end_store();
	print(PUT_FULL, shape, &samples, bytes);
}
