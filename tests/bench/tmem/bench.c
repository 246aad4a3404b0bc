/*
 * Measures the tmem engine's operations. Timing: each operation in chunks of 64 pages, in turn with
 * the same chunk of plain copies by the same routine and of `rep movsq`, on memory that is as cold;
 * medians of 11 repetitions. A chunk that took more than three times the median one was interrupted
 * by the host's other work and does not count, in either series. Counting (under callgrind,
 * --count): instructions beside the copy and LZ4.
 *
 * --shape=NAME does one shape alone, --plain no other mode, --keys=N takes another set of hash
 * keys.
 *
 * Prints a line an operation: operation, shape, mode, pages, ns, ratio to the copy, to rep movsq,
 * bytes that are not data a page; a figure that does not apply is "-". bench_tmem.py makes the
 * table.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <valgrind/callgrind.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/bench/tmem/host.h"
#include "tmem/port.h"
#include "tmem/tmem.h"

#define REPETITIONS 11U
#define CHUNK       64U

struct shape {
	const char *name;
	u32 pages_per_object; /* 0: one object for all */
	bool random;
	bool sampled; /* a balloon policy's estimator is told of some; only counted, not timed */
};

static const struct shape shapes[] = {
	{"64", 64, false, false},
	{"64-sampled", 64, false, true},
	{"1", 1, false, false},
	{"512", 512, false, false},
	{"single", 0, false, false},
	{"64-random", 64, true, false},
	{"1-random", 1, true, false},
	{"512-random", 512, true, false},
	{"single-random", 0, true, false},
};

/* What pools do with contents, and contents for which that is of use. */
struct mode {
	const char *name;
	u8 modes;    /* TMEM_MODE_* */
	bool adapts; /* pages age as the hypervisor has it by default */
	void (*fill)(u64 *words, u64 page);
};

static void fill_random(u64 *words, u64 page);
static void fill_zero(u64 *words, u64 page);
static void fill_half_equal(u64 *words, u64 page);
static void fill_half_random(u64 *words, u64 page);

static const struct mode modes[] = {
	{"plain", 0, false, fill_random},
	{"zero", TMEM_MODE_FILLED, false, fill_zero},
	{"dedup", TMEM_MODE_DEDUP, false, fill_half_equal},
	{"lz4", TMEM_MODE_COMPRESS, false, fill_half_random},
	{"default", TMEM_MODE_FILLED, true, fill_random},
};
static const struct mode *mode = &modes[0];

static u64 pages = 65536;
static unsigned repetitions = REPETITIONS;
static double ns_per_tick;
static const char *only_shape;
static bool only_plain;
static u8 *guest, *target; /* pages of the guest; where plain copies go */
static u32 *order;
static struct tmem *tmem;
static struct tmem_client *client;

/* ---- Handles and order -------------------------------------------------------------- */

static struct tmem_handle handle_at(const struct shape *shape, int pool, u64 base, u64 i)
{
	u64 n = shape->random ? order[i] : i;
	u64 per_object = shape->pages_per_object;

	if (!per_object)
		return (struct tmem_handle){{base, 0, 0}, (u32)n, pool};
	return (struct tmem_handle){{base + n / per_object, 0, 0}, (u32)(n % per_object), pool};
}

static void shuffle(void)
{
	u64 state = 7;

	for (u64 i = 0; i < pages; i++)
		order[i] = (u32)i;
	for (u64 i = pages - 1; i > 0; i--) {
		u64 j;
		u32 swap;

		state = state * 6364136223846793005UL + 1442695040888963407UL;
		j = (state >> 33) % (i + 1);
		swap = order[i];
		order[i] = order[j];
		order[j] = swap;
	}
}

/* ---- Operations --------------------------------------------------------------------- */

enum operation {
	NOTHING,
	PUT,
	GET_HIT,
	GET_MISS,      /* object absent */
	GET_MISS_PAGE, /* object present, page absent */
	PUT_FULL,
	PUT_PERSISTENT,
	GET_PERSISTENT,
	FLUSH_PAGE,
	FLUSH_OBJECT,
	OPERATIONS
};

static const char *const names[OPERATIONS] = {"nothing", "put", "get_hit", "get_miss",
	"get_miss_page", "put_full", "put_persistent", "get_persistent", "flush_page",
	"flush_object"};

static bool copies(enum operation operation)
{
	return operation == PUT || operation == GET_HIT || operation == PUT_FULL ||
	       operation == PUT_PERSISTENT || operation == GET_PERSISTENT;
}

static void must(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "bench-tmem: %s went wrong\n", what);
		exit(1);
	}
}

/* What counting subtracts. */
static __attribute__((noinline)) int nothing(
	struct tmem_client *asker, const struct tmem_handle *handle, void *page)
{
	__asm__ volatile("" : : "r"(asker), "r"(handle), "r"(page) : "memory");
	return 0;
}

/* One chunk of @operation; @base is the number of the first object. */
static void run_chunk(enum operation operation, const struct shape *shape, u64 base, u64 first)
{
	for (u64 i = first; i < first + CHUNK; i++) {
		int pool = operation == PUT_PERSISTENT || operation == GET_PERSISTENT;
		struct tmem_handle handle = handle_at(shape, pool, base, i);
		u8 *page = guest + i * PAGE_SIZE;
		int result = 0, expected = 0;

		switch (operation) {
		case NOTHING:
			result = nothing(client, &handle, page);
			break;
		case PUT:
		case PUT_FULL:
		case PUT_PERSISTENT:
			result = tmem_put(client, &handle, page);
			break;
		case GET_HIT:
		case GET_PERSISTENT:
			result = tmem_get(client, &handle, page);
			break;
		case GET_MISS:
			handle.object[1] = 1;
			result = tmem_get(client, &handle, page);
			expected = -SLUICE_ENOENT;
			break;
		case GET_MISS_PAGE:
			handle.index += 1 << 20;
			result = tmem_get(client, &handle, page);
			expected = -SLUICE_ENOENT;
			break;
		case FLUSH_PAGE:
			result = tmem_flush_page(client, &handle);
			break;
		case FLUSH_OBJECT:
			if (handle.index == 0)
				while (tmem_flush_object(client, &handle) == -SLUICE_EAGAIN)
					;
			break;
		default:
			break;
		}
		if (result != expected)
			must(false, names[operation]);
	}
}

static void copy_chunk(u64 first)
{
	for (u64 i = first; i < first + CHUNK; i++)
		arch_copy_page(target + i * PAGE_SIZE, guest + i * PAGE_SIZE);
}

static void movsq_chunk(u64 first)
{
	for (u64 i = first; i < first + CHUNK; i++) {
		void *to = target + i * PAGE_SIZE;
		const void *from = guest + i * PAGE_SIZE;
		u64 count = PAGE_SIZE / 8;

		__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	}
}

/* ---- Measuring ---------------------------------------------------------------------- */

struct samples {
	double ns[REPETITIONS], x_copy[REPETITIONS], x_movsq[REPETITIONS];
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, repetitions, sizeof(*values), compare);
	return values[repetitions / 2];
}

/* Counts of callgrind begin at zero here and are written out under @name at the end. */
static void count_begin(void)
{
	CALLGRIND_ZERO_STATS;
	CALLGRIND_TOGGLE_COLLECT;
}

static void count_end(const char *operation, const struct shape *shape)
{
	char name[64];

	CALLGRIND_TOGGLE_COLLECT;
	snprintf(name, sizeof(name), "%s %s %s", operation, shape->name, mode->name);
	CALLGRIND_DUMP_STATS_AT(name);
}

/* Times of the chunks of one pass. */
struct series {
	u64 *chunks;
	u64 count;
};

static struct series own, copy, movsq;

static void series_add(struct series *series, u64 time)
{
	series->chunks[series->count++] = time;
}

static int compare_ticks(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

/* Mean ticks a page, without interrupted chunks if all chunks do the same work; empties the series.
 */
static double series_mean(struct series *series, bool even)
{
	u64 sum = 0, used = 0, limit;

	qsort(series->chunks, series->count, sizeof(u64), compare_ticks);
	limit = even ? series->chunks[series->count / 2] * 3 : ~0UL;
	while (used < series->count && series->chunks[used] <= limit)
		sum += series->chunks[used++];
	series->count = 0;
	return (double)sum / (double)(used * CHUNK);
}

/* All pages through @operation once; the plain copies run a third and two thirds of the memory
 * away, so that neither finds the other's lines in a cache. */
static void measure(enum operation operation, const struct shape *shape, u64 base,
	unsigned repetition, struct samples *samples)
{
	double mean;

	if (bench_counting) {
		count_begin();
		for (u64 first = 0; first < pages; first += CHUNK)
			run_chunk(operation, shape, base, first);
		count_end(names[operation], shape);
		return;
	}
	if (!samples)
		return;
	for (u64 first = 0; first < pages; first += CHUNK) {
		u64 start = ticks(), end;

		run_chunk(operation, shape, base, first);
		end = ticks();
		series_add(&own, end - start);
		if (!copies(operation))
			continue;
		start = ticks();
		copy_chunk((first + pages / 3 / CHUNK * CHUNK) % pages);
		end = ticks();
		series_add(&copy, end - start);
		start = ticks();
		movsq_chunk((first + pages / 3 * 2 / CHUNK * CHUNK) % pages);
		end = ticks();
		series_add(&movsq, end - start);
	}
	mean = series_mean(&own, operation != FLUSH_OBJECT);
	samples->ns[repetition] = mean * ns_per_tick;
	if (copies(operation)) {
		samples->x_copy[repetition] = mean / series_mean(&copy, true);
		samples->x_movsq[repetition] = mean / series_mean(&movsq, true);
	}
}

static void print(
	enum operation operation, const struct shape *shape, struct samples *samples, double bytes)
{
	if (bench_counting)
		return;
	printf("%s\t%s\t%s\t%llu\t%.1f\t", names[operation], shape->name, mode->name,
		(unsigned long long)pages, median(samples->ns));
	if (copies(operation))
		printf("%.3f\t%.3f\t", median(samples->x_copy), median(samples->x_movsq));
	else
		printf("-\t-\t");
	if (bytes > 0)
		printf("%.1f\n", bytes);
	else
		printf("-\n");
	fflush(stdout);
}

/* ---- Stores ------------------------------------------------------------------------- */

static bool sampled;                       /* new clients have a guest's estimator behind */
static void *owner;                        /* that guest */
static u64 first_key_state = 1, key_state; /* the same keys for each store */

static struct tmem_client *new_client(void)
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

static void new_store(u64 max_pages)
{
	struct tmem_config config = {.max_pages = max_pages};

	key_state = first_key_state;
	tmem = tmem_create(&config);
	must(tmem, "a store");
	owner = sampled ? bench_guest_create(pages / 2) : NULL;
	must(owner || !sampled, "a guest");
	client = new_client();
}

static void end_store(void)
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

/* Bytes that are not data, a page. Where pages need no frame each: of metadata alone. */
static double overhead(void)
{
	struct tmem_stats stats;

	tmem_stats(tmem, &stats);
	if (mode->modes && !mode->adapts)
		return (double)stats.metadata_bytes / (double)pages;
	return (double)(stats.frames * PAGE_SIZE + stats.metadata_bytes - pages * PAGE_SIZE) /
	       (double)pages;
}

/* ---- Cells -------------------------------------------------------------------------- */

static void with_room(const struct shape *shape)
{
	static struct samples samples[OPERATIONS];
	double bytes = 0;

	new_store(0);
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

static void persistent(const struct shape *shape)
{
	static struct samples samples[OPERATIONS];
	double bytes = 0;

	new_store(0);
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

static void flushes(const struct shape *shape)
{
	static struct samples samples[OPERATIONS];

	new_store(0);
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

/* Every put evicts, or, where pages differ in size, every one on the mean. The store is filled
 * @rounds times over. */
static void when_full(const struct shape *shape, unsigned rounds)
{
	static struct samples samples;
	struct tmem_client_stats before, after;
	double bytes;

	new_store(pages);
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

/* One read at a random place of @bytes, each place named by the one before. */
static void random_read(u64 bytes)
{
	static struct samples samples;
	u64 count = bytes / 64;
	u64 *ring = bench_memory(bytes / PAGE_SIZE + 1);
	u64 at = 0;

	/* A permutation that is one cycle (Sattolo). */
	for (u64 i = 0; i < count; i++)
		ring[i * 8] = i;
	for (u64 i = count - 1; i > 0; i--) {
		u64 j = tmem_port_random() % i;
		u64 swap = ring[i * 8];

		ring[i * 8] = ring[j * 8];
		ring[j * 8] = swap;
	}
	for (unsigned i = 0; i < repetitions; i++) {
		u64 start = ticks();

		for (u64 n = 0; n < pages; n++)
			at = ring[at * 8];
		samples.ns[i] = (double)(ticks() - start) * ns_per_tick / (double)pages;
	}
	must(at < count, "a random read");
	printf("random_read\t%lluKiB\tplain\t%llu\t%.1f\t-\t-\t-\n",
		(unsigned long long)bytes / 1024, (unsigned long long)pages, median(samples.ns));
}

/* ---- Two threads -------------------------------------------------------------------- */

struct thread_work {
	pthread_t thread;
	pthread_barrier_t *barrier;
	struct tmem_client *client;
	u64 first, count;
	int what; /* 0 copies, 1 put and get, 2 misses, 3 put and flush: only the flushes timed */
	u64 ticks;
};

static void *thread_run(void *argument)
{
	struct thread_work *work = argument;
	u64 start;

	if (work->barrier)
		pthread_barrier_wait(work->barrier);
	start = ticks();
	for (u64 i = work->first; i < work->first + work->count; i++) {
		struct tmem_handle handle = {{i / 64, 0, 0}, i % 64, 0};
		u8 *page = guest + i * PAGE_SIZE;
		int result = 0;

		switch (work->what) {
		case 0:
			arch_copy_page(target + i * PAGE_SIZE, page);
			break;
		case 1:
			result = tmem_put(work->client, &handle, page);
			break;
		case 2:
			handle.object[1] = 1;
			result = tmem_get(work->client, &handle, page) + SLUICE_ENOENT;
			break;
		default:
			result = tmem_flush_page(work->client, &handle);
		}
		must(result == 0, "an operation of a thread");
	}
	work->ticks = ticks() - start;
	return NULL;
}

/* How many times as much two threads do as one, on halves of the memory. */
static double speedup(int what, struct tmem_client *const clients[2], double *ns)
{
	struct thread_work work[2];
	pthread_barrier_t barrier;
	u64 alone = 0, together;

	for (unsigned i = 0; i < 2; i++) {
		work[i] = (struct thread_work){.client = clients[i],
			.first = i * (pages / 2),
			.count = pages / 2,
			.what = what};
		thread_run(&work[i]);
		alone += work[i].ticks;
	}
	if (what == 1 || what == 3)
		for (unsigned i = 0; i < 2; i++) {
			struct thread_work undo = work[i];

			undo.what = what == 1 ? 3 : 1;
			thread_run(&undo);
		}
	pthread_barrier_init(&barrier, NULL, 2);
	for (unsigned i = 0; i < 2; i++) {
		work[i].barrier = &barrier;
		must(!pthread_create(&work[i].thread, NULL, thread_run, &work[i]), "a thread");
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(work[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
	together = MAX(work[0].ticks, work[1].ticks);
	*ns = (double)together * ns_per_tick / (double)pages;
	return (double)alone / (double)together;
}

/* @x_copy stands for the scaling against that of plain copies in the same repetition. For misses
 * and flushes, which copy nothing, it is the speedup itself. */
static void scaling(void)
{
	static const char *const rows[] = {"", "scaling_2", "scaling_2_miss", "scaling_2_flush"};
	double factor[4][REPETITIONS], ns[4][REPETITIONS];
	struct tmem_client *clients[2];

	new_store(0);
	clients[0] = client;
	clients[1] = new_client();
	for (unsigned i = 0; i < repetitions; i++) {
		double plain = speedup(0, clients, &ns[0][i]);

		factor[1][i] = speedup(1, clients, &ns[1][i]) / plain;
		factor[2][i] = speedup(2, clients, &ns[2][i]);
		factor[3][i] = speedup(3, clients, &ns[3][i]);
	}
	while (tmem_client_destroy(clients[1]) == -SLUICE_EAGAIN)
		;
	end_store();
	for (unsigned what = 1; what < 4; what++)
		printf("%s\t64\tplain\t%llu\t%.1f\t%.3f\t-\t-\n", rows[what],
			(unsigned long long)pages, median(ns[what]), median(factor[what]));
}

/* ---- Contents ----------------------------------------------------------------------- */

static void fill_words(u64 *words, u64 count, u64 state)
{
	for (u64 i = 0; i < count; i++) {
		state = state * 6364136223846793005UL + 1442695040888963407UL;
		words[i] = state ^ state >> 29;
	}
}

static void fill_random(u64 *words, u64 page)
{
	fill_words(words, PAGE_SIZE / 8, page);
}

static void fill_zero(u64 *words, u64 page)
{
	(void)page;
	memset(words, 0, PAGE_SIZE);
}

/* Each page of the second half is one of the first. */
static void fill_half_equal(u64 *words, u64 page)
{
	fill_words(words, PAGE_SIZE / 8, page % (pages / 2));
}

/* Compresses to little more than a half. */
static void fill_half_random(u64 *words, u64 page)
{
	memset(words, 0, PAGE_SIZE);
	fill_words(words, PAGE_SIZE / 16, page);
}

/* All operations of one shape in the other modes; the last fill is that of plain pages. Zero pages,
 * and those that are equal to stored ones, want no frame and evict nothing. */
static void with_contents(const struct shape *shape)
{
	bench_moving = true;
	for (unsigned m = 1; m < ARRAY_SIZE(modes); m++) {
		mode = &modes[m];
		for (u64 page = 0; page < pages; page++)
			mode->fill((u64 *)(guest + page * PAGE_SIZE), page);
		with_room(shape);
		persistent(shape);
		flushes(shape);
		if (mode->adapts || mode->modes == TMEM_MODE_COMPRESS)
			when_full(shape, mode->adapts ? 1 : 3);
	}
	mode = &modes[0];
	bench_moving = !bench_counting;
}

static void calibrate(void)
{
	struct timespec begin, now;
	u64 start = ticks();
	double ns;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		ns = (double)(now.tv_sec - begin.tv_sec) * 1e9 +
		     (double)(now.tv_nsec - begin.tv_nsec);
	} while (ns < 5e7);
	ns_per_tick = ns / (double)(ticks() - start);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--count"))
			bench_counting = true;
		else if (!strcmp(argv[i], "--plain"))
			only_plain = true;
		else if (!strncmp(argv[i], "--keys=", 7))
			first_key_state = strtoull(argv[i] + 7, NULL, 0);
		else if (!strncmp(argv[i], "--shape=", 8))
			only_shape = argv[i] + 8;
		else
			pages = strtoull(argv[i], NULL, 0);
	}
	must(pages >= 3 * CHUNK && pages % BLOCK_PAGES == 0, "the number of pages");
	bench_moving = !bench_counting;
	if (bench_counting)
		repetitions = 1;
	calibrate();
	guest = bench_memory(pages);
	target = bench_memory(pages);
	own.chunks = bench_memory(pages / CHUNK * sizeof(u64) / PAGE_SIZE + 1);
	copy.chunks = bench_memory(pages / CHUNK * sizeof(u64) / PAGE_SIZE + 1);
	movsq.chunks = bench_memory(pages / CHUNK * sizeof(u64) / PAGE_SIZE + 1);
	order = bench_memory(pages * sizeof(*order) / PAGE_SIZE + 1);
	bench_store_memory(pages + pages / 16 + 16 * BLOCK_PAGES);
	shuffle();

	for (u64 page = 0; page < pages; page++)
		mode->fill((u64 *)(guest + page * PAGE_SIZE), page);

	/* The larger size is for the four operations that matter most, in sequence. */
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		if ((pages > 65536 && shapes[i].random) || (shapes[i].sampled && !bench_counting) ||
			(only_shape && strcmp(only_shape, shapes[i].name) != 0))
			continue;
		sampled = shapes[i].sampled;
		with_room(&shapes[i]);
		when_full(&shapes[i], 1);
		if (pages > 65536)
			continue;
		persistent(&shapes[i]);
		flushes(&shapes[i]);
		if (!only_plain && !sampled)
			with_contents(&shapes[i]);
	}
	if (bench_counting || only_shape)
		return 0;
	random_read(pages * 32);
	if (pages <= 65536)
		scaling();
	return 0;
}
