/*
 * What the C library gets from the shim: heap, a deep stack, time, floating point, randomness.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "guest-shim/shim.h"
#include "selftest.h"

#define BLOCKS 200u

static void check_heap(void)
{
	static unsigned char *blocks[BLOCKS];
	static size_t sizes[BLOCKS];

	for (unsigned step = 0; step < 1500; step++) {
		unsigned i = (unsigned)(random_next() % BLOCKS);

		for (size_t at = 0; at < sizes[i]; at++)
			CHECK(blocks[i][at] == (unsigned char)(i + sizes[i]));
		free(blocks[i]);
		sizes[i] = random_next() % 3000;
		blocks[i] = malloc(sizes[i] + 1);
		CHECK(blocks[i]);
		memset(blocks[i], (int)(i + sizes[i]), sizes[i]);
	}
	for (unsigned i = 0; i < BLOCKS; i++)
		free(blocks[i]);
}

/* Beyond memory and swap together: refused, and what was there before still works. */
static void check_heap_end(void)
{
	struct shim_statistics before, after;
	unsigned char *large;

	errno = 0;
	CHECK(malloc((size_t)60 << 30) == NULL && errno == ENOMEM);
	CHECK(shim_alloc_anonymous((size_t)60 << 30) == NULL);
	CHECK(shim_alloc_anonymous(~(size_t)0) == NULL);
	/* What a block of a MiB took, it gives back. */
	shim_statistics(&before);
	large = malloc(1 << 20);
	CHECK(large);
	memset(large, 1, 1 << 20);
	free(large);
	shim_statistics(&after);
	CHECK(after.anonymous < before.anonymous + 128);
}

static unsigned deep(unsigned depth)
{
	volatile char room[900];

	memset((char *)room, (int)depth, sizeof(room));
	if (depth == 0)
		return 0;
	return deep(depth - 1) + (room[899] == (char)depth);
}

static void check_time(void)
{
	struct timespec spec, wait = {0, 3000000};
	uint64_t before = shim_time_ns(), after;
	struct timeval value;

	CHECK(usleep(2000) == 0);
	after = shim_time_ns();
	CHECK(after - before >= 2000000);
	CHECK(nanosleep(&wait, NULL) == 0);
	CHECK(shim_time_ns() - after >= 3000000);
	shim_sleep_until(0);
	CHECK(gettimeofday(&value, NULL) == 0 && clock_gettime(CLOCK_MONOTONIC, &spec) == 0);
	CHECK((uint64_t)spec.tv_sec * 1000000000 + (uint64_t)spec.tv_nsec <= shim_time_ns());
	CHECK(value.tv_sec == spec.tv_sec || value.tv_sec + 1 == spec.tv_sec);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = shim_time_ns();

		CHECK(now >= after);
		after = now;
	}
}

/* Two that are equal come once in 2^256 runs. */
static void check_random(void)
{
	unsigned char once[256], again[256];
	unsigned zeros = 0;

	memset(once, 0, sizeof(once));
	CHECK(getentropy(once, sizeof(once)) == 0);
	CHECK(getentropy(again, sizeof(again)) == 0);
	CHECK(memcmp(once, again, 32) && memcmp(once + 224, again + 224, 32));
	for (unsigned i = 0; i < sizeof(once); i++)
		zeros += once[i] == 0;
	CHECK(zeros < 30);
	errno = 0;
	CHECK(getentropy(again, sizeof(again) + 1) == -1 && errno == EIO);
	CHECK(getentropy(again, 0) == 0);
	/* More than the hypervisor gives at once. */
	for (unsigned i = 0; i < 40; i++)
		CHECK(getentropy(again, sizeof(again)) == 0);
	CHECK(arc4random() != arc4random() || arc4random() != arc4random());
}

void check_library(void)
{
	char text[64];

	check_random();
	check_heap();
	check_heap_end();
	CHECK(deep(100) == 100);
	check_time();
	snprintf(text, sizeof(text), "%.6f %s", sqrt(2.0), "x");
	CHECK(!strcmp(text, "1.414214 x"));
}
