/*
 * Measures packs of compressed pages: bytes of frames a page after filling, after a long mix of
 * stores and frees and after most pages have gone, and what a page costs. Pages are random in some
 * of their lines of 64 bytes, so many that LZ4 makes a half or a third of them on average, each
 * page within a third of that.
 *
 * Prints lines of name, value and unit. With --count it runs under callgrind and leaves a dump for
 * each operation, copy and LZ4 left out; bench_pack.py makes the table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <valgrind/callgrind.h>

#include "tests/bench/tmem/host.h"
#include "tmem/content.h"
#include "tmem/pack.h"
#include "tmem/pack_page.h"
#include "tmem/port.h"

#define PAGES       16384U
#define ORIGINALS   1024U /* different pages; each serves many handles */
#define REPETITIONS 11U
#define SMALL_POOL  (MIB(4) / PAGE_SIZE)

struct kind {
	const char *name;
	u32 lines, spread; /* random ones of 64, and how many more or fewer */
};

static const struct kind kinds[] = {{"2to1", 30, 10}, {"3to1", 19, 7}};

static u8 *originals;
static u32 lengths[ORIGINALS];
static u8 *fragments; /* compressed, a page of room each */
static u8 target[PAGE_SIZE] __aligned_to(PAGE_SIZE);
static struct tmem *tmem;
static struct pack pack;
static u32 *ids;
static u64 state = 1;
static double ns_per_tick;

static u32 below(u32 bound)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (u32)((state >> 33) % bound);
}

static void must(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "bench-pack: %s went wrong\n", what);
		exit(1);
	}
}

static void row(const char *name, const char *suffix, double value, const char *unit)
{
	if (!bench_counting)
		printf("%s%s\t%.1f\t%s\n", name, suffix, value, unit);
}

/* ---- Pages -------------------------------------------------------------------------- */

static void make_page(u8 *page, u32 lines)
{
	for (u32 line = 0; line < 64; line++) {
		/* Each of the lines left has the same chance to be one of those to be random. */
		bool is_random = below(64 - line) < lines;

		lines -= is_random;
		for (u32 i = 0; i < 64; i++)
			page[line * 64 + i] = (u8)(is_random ? below(256) : line / 8);
	}
}

static double make_pages(const struct kind *kind)
{
	struct admission admission = {0};
	double sum = 0;

	for (u32 i = 0; i < ORIGINALS; i++) {
		u8 *page = originals + (u64)i * PAGE_SIZE;

		make_page(page, kind->lines - kind->spread + below(2 * kind->spread + 1));
		lengths[i] = page_compress(&admission, page);
		must(lengths[i], "compressing");
		memcpy(fragments + (u64)i * PAGE_SIZE, tmem_port_scratch()->fragment, lengths[i]);
		sum += lengths[i];
	}
	return sum / ORIGINALS;
}

/* ---- Density ------------------------------------------------------------------------ */

static void store(u32 i)
{
	u32 which = below(ORIGINALS);

	ids[i] = pack_store(
		&pack, EPHEMERAL, fragments + (u64)which * PAGE_SIZE, lengths[which], i);
	must(ids[i], "a store");
}

static void drop(u32 i)
{
	pack_free(&pack, ids[i]);
	ids[i] = 0;
}

static void moved(void *argument, u32 owner, u32 old_id, u32 new_id)
{
	must(ids[owner] == old_id, "a move");
	ids[owner] = new_id;
	++*(u64 *)argument;
}

static double bytes_a_page(void)
{
	return (double)(pack.frames * PAGE_SIZE) / (double)pack.fragments;
}

static double records_a_page(void)
{
	return (double)pack.runs.leaf_count * (double)PAGE_SIZE / (double)pack.fragments;
}

static u64 compact(void)
{
	u64 moves = 0;

	while (pack_compact(&pack, 16, moved, &moves))
		;
	return moves;
}

static void fill(void)
{
	pack_init(&pack, tmem, 0);
	for (u32 i = 0; i < PAGES; i++)
		store(i);
}

static void empty(void)
{
	for (u32 i = 0; i < PAGES; i++)
		if (ids[i])
			drop(i);
	pack_destroy(&pack);
}

static void density(const struct kind *kind)
{
	u64 moves;

	fill();
	row("stored_", kind->name, bytes_a_page(), "B/page");
	row("records_", kind->name, records_a_page(), "B/page");
	/* Each page replaced by another, twenty times over: as many at any time. */
	for (u32 i = 0; i < 20 * PAGES; i++) {
		u32 at = below(PAGES);

		drop(at);
		store(at);
	}
	row("replaced_", kind->name, bytes_a_page(), "B/page");
	/* Half of them on average, more and fewer. */
	for (u32 i = 0; i < 20 * PAGES; i++) {
		u32 at = below(PAGES);

		if (ids[at])
			drop(at);
		else
			store(at);
		if (i % 64 == 0)
			pack_compact(&pack, 16, moved, &moves);
	}
	row("churned_", kind->name, bytes_a_page(), "B/page");
	for (u32 i = 0; i < PAGES; i++)
		if (ids[i] && below(4))
			drop(i);
	row("before_compaction_", kind->name, bytes_a_page(), "B/page");
	moves = compact();
	row("compacted_", kind->name, bytes_a_page(), "B/page");
	row("ids_changed_", kind->name, 100.0 * (double)moves / (double)pack.fragments, "%");
	empty();
}

/* Three clients fill 4 MiB, each with pages of both classes. */
static void small_pool(const struct kind *kind)
{
	const struct tmem_config config = {.max_pages = SMALL_POOL};
	struct tmem *small = tmem_create(&config);
	struct pack packs[3];
	u64 stored = 0, records = 0;
	bool full = false;

	must(small, "a small store");
	for (u32 i = 0; i < 3; i++)
		pack_init(&packs[i], small, i);
	for (u32 i = 0; !full; i++) {
		u32 which = below(ORIGINALS);

		full = !pack_store(&packs[i % 3], below(4) ? EPHEMERAL : PERSISTENT,
			fragments + (u64)which * PAGE_SIZE, lengths[which], i);
		stored += !full;
	}
	for (u32 i = 0; i < 3; i++)
		records += packs[i].runs.leaf_count * PAGE_SIZE + sizeof(struct pack);
	row("small_pool_", kind->name, (double)(SMALL_POOL * PAGE_SIZE) / (double)stored, "B/page");
	row("small_pool_records_", kind->name, (double)records / (double)stored, "B/page");
	/* Its memory is not needed again. */
}

/* ---- Cost --------------------------------------------------------------------------- */

enum operation { NOTHING, COPY, FILLED, HASH, COMPARE, COMPRESS, REFUSE, DECOMPRESS, OPERATIONS };

static const char *const names[OPERATIONS] = {"nothing", "copy", "filled", "copy_hash", "equals",
	"lz4_compress", "lz4_refuse", "lz4_decompress"};

static struct content_key key;
static u64 sink;

/* Operation on one page, number @i; the same pages come again after 4 MiB. */
static void run(enum operation operation, u32 i)
{
	u8 *page = originals + (u64)(i % ORIGINALS) * PAGE_SIZE;
	u8 *fragment = fragments + (u64)(i % ORIGINALS) * PAGE_SIZE;
	u64 word = 0;

	switch (operation) {
	case COPY:
		arch_copy_page(target, page);
		break;
	case FILLED:
		content_fill(target, i);
		sink += content_is_filled(target, &word) + word;
		break;
	case HASH:
		sink += content_copy(&key, target, page);
		break;
	case COMPARE:
		sink += content_equals(page, page);
		break;
	case COMPRESS:
	case REFUSE:
		sink += tmem_port_compress(target, page, PACK_LENGTH_MAX);
		break;
	case DECOMPRESS:
		sink += (u64)tmem_port_decompress(target, fragment, lengths[i % ORIGINALS]);
		break;
	default:
		break;
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double timed(enum operation operation)
{
	double times[REPETITIONS];

	for (u32 repetition = 0; repetition < REPETITIONS; repetition++) {
		u64 start = ticks();

		for (u32 i = 0; i < ORIGINALS; i++)
			run(operation, i);
		times[repetition] = (double)(ticks() - start) * ns_per_tick / ORIGINALS;
	}
	qsort(times, REPETITIONS, sizeof(*times), compare);
	return times[REPETITIONS / 2];
}

static void times(const struct kind *kind)
{
	char suffix[16];

	snprintf(suffix, sizeof(suffix), "_%s", kind->name);
	row(names[COMPRESS], suffix, timed(COMPRESS), "ns");
	row(names[DECOMPRESS], suffix, timed(DECOMPRESS), "ns");
	if (kind != kinds)
		return;
	for (enum operation operation = COPY; operation < COMPRESS; operation++)
		row(names[operation], "", timed(operation), "ns");
	for (u32 i = 0; i < ORIGINALS; i++)
		make_page(originals + (u64)i * PAGE_SIZE, 64);
	row(names[REFUSE], "", timed(REFUSE), "ns");
}

/* ---- Counting ----------------------------------------------------------------------- */

static void count_begin(void)
{
	CALLGRIND_ZERO_STATS;
	CALLGRIND_TOGGLE_COLLECT;
}

static void count_end(const char *name)
{
	CALLGRIND_TOGGLE_COLLECT;
	CALLGRIND_DUMP_STATS_AT(name);
}

/* What the engine does with a page beside the copy and LZ4. */
static void put_page(u32 i, u32 which, struct admission *admission)
{
	const u8 *page = originals + (u64)which * PAGE_SIZE;
	u64 word;

	bench_compressed = lengths[which];
	must(!content_is_filled(page, &word), "a page of one word");
	ids[i] = pack_store(
		&pack, EPHEMERAL, tmem_port_scratch()->fragment, page_compress(admission, page), i);
}

static void count(void)
{
	struct admission admission = {0};
	u32 places[4096], which[4096];

	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		which[i] = below(ORIGINALS);
		places[i] = i * 4 + below(4);
	}
	pack_init(&pack, tmem, 0);
	count_begin();
	for (u32 i = 0; i < ARRAY_SIZE(places); i++)
		put_page(i, which[i], &admission);
	count_end("put_filling");
	empty();

	fill();
	for (u32 i = 0; i < 5 * PAGES; i++) {
		u32 at = below(PAGES);

		drop(at);
		store(at);
	}
	/* From a full pack a quarter goes, one at a time, and comes back. */
	count_begin();
	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		pack_free(&pack, ids[places[i]]);
		put_page(places[i], which[i], &admission);
	}
	count_end("replace");
	count_begin();
	for (u32 i = 0; i < ARRAY_SIZE(places); i++)
		must(!page_decompress(&pack, ids[places[i]], originals), "a get");
	count_end("get");
	count_begin();
	for (u32 i = 0; i < ARRAY_SIZE(places); i++)
		drop(places[i]);
	count_end("free");
	empty();
	count_begin();
	for (u32 i = 0; i < ARRAY_SIZE(places); i++)
		sink += content_copy(&key, target, originals + (u64)which[i] * PAGE_SIZE);
	count_end("copy_hash");
}

int main(int argc, char **argv)
{
	const struct tmem_config config = {0};
	struct timespec from, to;
	u64 start;

	bool counting = argc > 1 && !strcmp(argv[1], "--count");

	originals = bench_memory(ORIGINALS);
	fragments = bench_memory(ORIGINALS);
	ids = bench_memory(PAGES * sizeof(*ids) / PAGE_SIZE);
	memset(ids, 0, PAGES * sizeof(*ids));
	bench_store_memory(32 * BLOCK_PAGES);
	tmem = tmem_create(&config);
	must(tmem, "a store");
	content_key_init(&key, bench_memory(1));

	clock_gettime(CLOCK_MONOTONIC, &from);
	start = ticks();
	do
		clock_gettime(CLOCK_MONOTONIC, &to);
	while (to.tv_sec - from.tv_sec < 1);
	ns_per_tick =
		((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
		(double)(ticks() - start);
	if (counting) {
		make_pages(&kinds[0]);
		bench_counting = true;
		bench_moving = false;
		count();
		return 0;
	}
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
		row("compressed_", kinds[i].name, make_pages(&kinds[i]), "B/page");
		density(&kinds[i]);
		small_pool(&kinds[i]);
		times(&kinds[i]);
	}
	return 0;
}
