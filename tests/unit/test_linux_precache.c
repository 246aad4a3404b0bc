/*
 * What the Linux module decides about pages of its cached disk (guest-shim/linux/precache.h). Then
 * a disk of a few pages, a page cache of a few frames and a tmem, on which reads, writes, evictions
 * and all that happens to frames overlap at random, each in its single steps: what tmem has must
 * always be what the disk has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest-shim/linux/precache.h"

static void a_state_knows_the_writes_under_way(void **unused)
{
	uint64_t state = 0;

	(void)unused;
	assert_true(precache_is_quiet(state));
	for (uint64_t i = 0; i < 3; i++) {
		state += PRECACHE_WRITE_BEGIN;
		assert_false(precache_is_quiet(state));
	}
	for (uint64_t i = 0; i < 3; i++) {
		assert_false(precache_is_quiet(state));
		state -= PRECACHE_WRITE_END;
	}
	assert_true(precache_is_quiet(state));
	assert_int_not_equal(state, 0);
	/* As many at once as there can be. */
	state += PRECACHE_WRITERS * PRECACHE_WRITE_BEGIN;
	assert_false(precache_is_quiet(state));
	state -= PRECACHE_WRITERS * PRECACHE_WRITE_END;
	assert_true(precache_is_quiet(state));
}

static void a_large_write_changes_each_state_once(void **unused)
{
	(void)unused;
	assert_int_equal(precache_states_of(0, 16), 0);
	assert_int_equal(precache_states_of(15, 16), 15);
	assert_int_equal(precache_states_of(16, 16), 16);
	assert_int_equal(precache_states_of(1ul << 40, 16), 16);
}

static void a_record_is_worth_what_its_read_was(void **unused)
{
	struct precache_record record = {0}, taken;
	const uint64_t quiet = PRECACHE_WRITE_BEGIN - PRECACHE_WRITE_END;

	(void)unused;
	/* Nothing is known at first, and nothing of a read that has not ended. */
	assert_false(precache_take(&record, 7, &taken));
	precache_read_begins(&record, 7, 1ull << 62, quiet, 5);
	assert_false(precache_take(&record, 7, &taken));
	assert_false(precache_may_put(&taken, quiet, 5));
	/* Another read's end, and another frame's, are none of this one. */
	precache_read_begins(&record, 7, 1ull << 62, quiet, 5);
	precache_read_ends(&record, 7, 4, 99);
	precache_read_ends(&record, 8, 5, 99);
	precache_read_ends(&record, 7, 5, 55);
	precache_read_ends(&record, 7, 55, 66);
	assert_false(precache_take(&record, 8, &taken));
	assert_true(precache_take(&record, 7, &taken));
	assert_true(taken.page == 1ull << 62);
	assert_true(precache_may_put(&taken, quiet, 55));
	assert_false(precache_may_put(&taken, quiet, 66));
	assert_false(precache_may_put(&taken, quiet + PRECACHE_WRITE_BEGIN, 55));
	assert_false(precache_take(&record, 7, &taken));
	/* While a page is written no read of it is recorded, and what was known of the frame goes.
	 */
	precache_read_begins(&record, 7, 1, quiet, 6);
	precache_read_begins(&record, 7, 1, quiet + PRECACHE_WRITE_BEGIN, 7);
	precache_read_ends(&record, 7, 6, 77);
	assert_false(precache_take(&record, 7, &taken));
	/* But another frame's record stays. */
	precache_read_begins(&record, 8, 1, quiet, 8);
	precache_read_begins(&record, 7, 1, quiet + PRECACHE_WRITE_BEGIN, 9);
	precache_read_ends(&record, 8, 8, 88);
	assert_true(precache_take(&record, 8, &taken));
}

/* ---- A disk of numbers -------------------------------------------------------------------------
 * Contents are numbers that never come twice, and their own sums.
 */

#define PAGES   6u
#define STATES  4u /* fewer than pages, which share them */
#define FRAMES  8u /* from 1 on */
#define PLACES  5u
#define WORKERS 4u
#define STEPS   2000000u
#define WORLD   5000u /* steps after which all begins anew */

enum frame_use { FREE, FILLING, CACHED, DIRTY, LEAVING };

struct worker {
	enum { IDLE, READING, READ, WRITING, WRITTEN, EVICTING } at;
	uint64_t page, pages, frame, number;
	struct precache_record taken;
};

static struct {
	uint64_t disk[PAGES], tmem[PAGES], states[STATES];
	bool offered[PAGES], is_off;
	unsigned writers[PAGES];
	struct {
		enum frame_use use;
		uint64_t content, page;
	} frames[FRAMES + 1];
	struct precache_record records[PLACES];
	struct worker workers[WORKERS];
} world;

static uint64_t contents, reads;
static unsigned long hit_count, put_count, changed_count, write_count, off_count;

static unsigned below(unsigned bound)
{
	return (unsigned)rand() % bound;
}

static struct precache_record *record_of(uint64_t frame)
{
	return &world.records[frame % PLACES];
}

static uint64_t frame_of(enum frame_use use)
{
	uint64_t frame = 1 + below(FRAMES);

	return world.frames[frame].use == use ? frame : 0;
}

/* As cache_disk.c does it under a region's lock. */
static bool get(uint64_t page, uint64_t frame)
{
	if (!world.offered[page] || world.is_off)
		return false;
	world.offered[page] = false;
	if (!world.tmem[page])
		return false;
	assert_int_equal(world.writers[page], 0);
	assert_int_equal(world.tmem[page], world.disk[page]);
	world.frames[frame].content = world.tmem[page];
	world.tmem[page] = 0;
	hit_count++;
	return true;
}

static void flush(uint64_t page)
{
	if (!world.offered[page])
		return;
	world.offered[page] = false;
	if (below(2000) == 0) {
		world.is_off = true;
		off_count++;
	} else {
		world.tmem[page] = 0;
	}
}

static void read_begins(struct worker *worker)
{
	uint64_t page = below(PAGES), frame = frame_of(FREE);

	if (!frame)
		return;
	*worker = (struct worker){.at = READING, .page = page, .frame = frame, .number = ++reads};
	world.frames[frame].use = FILLING;
	precache_read_begins(
		record_of(frame), frame, page, world.states[page % STATES], worker->number);
	if (get(page, frame))
		worker->at = READ;
}

static void read_ends(struct worker *worker)
{
	uint64_t frame = worker->frame;

	worker->at = IDLE;
	if (below(16) == 0) { /* an error: what the frame has got does not count */
		world.frames[frame].use = FREE;
		return;
	}
	precache_read_ends(record_of(frame), frame, worker->number, world.frames[frame].content);
	world.frames[frame].use = CACHED;
	world.frames[frame].page = worker->page;
}

static void write_begins(struct worker *worker)
{
	uint64_t page = below(PAGES), frame = frame_of(DIRTY);
	uint64_t pages = 1 + below(4) / 3 * below((unsigned)(PAGES - page));

	if (frame && below(4)) {
		page = world.frames[frame].page;
		pages = 1;
		world.frames[frame].use = CACHED;
	} else {
		frame = 0; /* past the page cache */
	}
	*worker = (struct worker){.at = WRITING, .page = page, .pages = pages, .frame = frame};
	for (uint64_t i = 0; i < precache_states_of(pages, STATES); i++)
		world.states[(page + i) % STATES] += PRECACHE_WRITE_BEGIN;
	for (uint64_t i = 0; i < pages; i++) {
		flush(page + i);
		world.writers[page + i]++;
	}
	worker->number = frame ? world.frames[frame].content : ++contents;
}

static void write_ends(struct worker *worker)
{
	for (uint64_t i = 0; i < precache_states_of(worker->pages, STATES); i++)
		world.states[(worker->page + i) % STATES] -= PRECACHE_WRITE_END;
	for (uint64_t i = 0; i < worker->pages; i++)
		world.writers[worker->page + i]--;
	worker->at = IDLE;
}

static void eviction_begins(struct worker *worker)
{
	uint64_t frame = frame_of(CACHED);

	if (!frame || !precache_take(record_of(frame), frame, &worker->taken))
		return;
	worker->at = EVICTING;
	worker->frame = frame;
	world.frames[frame].use = LEAVING;
}

static void eviction_ends(struct worker *worker)
{
	uint64_t page = worker->taken.page;
	uint64_t content = world.frames[worker->frame].content;

	if (!world.is_off &&
		precache_may_put(&worker->taken, world.states[page % STATES], content)) {
		/* Refused, it takes the old copy away. */
		world.tmem[page] = below(8) ? content : 0;
		world.offered[page] = true;
		put_count++;
	} else {
		changed_count++;
	}
	world.frames[worker->frame].use = FREE;
	worker->at = IDLE;
}

/* What happens to frames and pages besides. */
static void elsewhere(void)
{
	uint64_t frame = frame_of(CACHED), other = frame_of(FREE);
	struct precache_record taken;

	switch (below(8)) {
	case 0: /* the end of a file is cut off, or content is decrypted in its place */
		if (frame)
			world.frames[frame].content = ++contents;
		break;
	case 1:
	case 2:
		if (frame) {
			world.frames[frame].use = DIRTY;
			world.frames[frame].content = ++contents;
		}
		break;
	case 3: /* migration: nobody is told */
		if (frame && other) {
			world.frames[other] = world.frames[frame];
			world.frames[frame].use = FREE;
			world.frames[frame].content = ++contents;
		}
		break;
	case 4: /* truncation */
		if (frame) {
			(void)precache_take(record_of(frame), frame, &taken);
			world.frames[frame].use = FREE;
		}
		break;
	case 5: /* a frame goes, and is another file's then, and nobody is told of either */
		if (frame && other) {
			world.frames[frame].use = FREE;
			world.frames[other].use = CACHED;
			world.frames[other].page = below(PAGES);
			world.frames[other].content = ++contents;
		}
		break;
	case 6: /* a dirty page is cut off */
		frame = frame_of(DIRTY);
		if (frame)
			world.frames[frame].use = FREE;
		break;
	default: /* tmem has no room any more */
		world.tmem[below(PAGES)] = 0;
	}
}

static void step(void)
{
	struct worker *worker = &world.workers[below(WORKERS)];

	switch (worker->at) {
	case IDLE:
		switch (below(16)) {
		case 0:
			write_begins(worker);
			break;
		case 1:
		case 2:
			elsewhere();
			break;
		default:
			if (below(2))
				read_begins(worker);
			else
				eviction_begins(worker);
		}
		break;
	case READING:
		world.frames[worker->frame].content = world.disk[worker->page];
		worker->at = READ;
		break;
	case READ:
		read_ends(worker);
		break;
	case WRITING:
		/* A write that fails may have changed anything. */
		for (uint64_t i = 0; i < worker->pages; i++)
			world.disk[worker->page + i] = i == 0 && below(16) ? worker->number
									   : ++contents;
		write_count++;
		if (below(4)) /* some take effect in several steps */
			worker->at = WRITTEN;
		break;
	case WRITTEN:
		write_ends(worker);
		break;
	case EVICTING:
		eviction_ends(worker);
	}
}

static void begin_anew(void)
{
	memset(&world, 0, sizeof(world));
	for (unsigned page = 0; page < PAGES; page++)
		world.disk[page] = ++contents;
	for (unsigned frame = 1; frame <= FRAMES; frame++)
		world.frames[frame].content = ++contents;
}

static void tmem_has_what_the_disk_has(void **unused)
{
	(void)unused;
	srand(1);
	for (unsigned i = 0; i < STEPS; i++) {
		if (i % WORLD == 0)
			begin_anew();
		step();
		for (unsigned page = 0; page < PAGES && !world.is_off; page++) {
			if (!world.tmem[page])
				continue;
			assert_int_equal(world.writers[page], 0);
			assert_int_equal(world.tmem[page], world.disk[page]);
			assert_true(world.offered[page]);
		}
	}
	print_message("%lu hits, %lu puts, %lu changed, %lu writes, %lu off\n", hit_count,
		put_count, changed_count, write_count, off_count);
	/* All of it has happened often. */
	assert_true(
		hit_count > STEPS / 200 && put_count > STEPS / 100 && changed_count > STEPS / 100);
	assert_true(write_count > STEPS / 50 && off_count > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_state_knows_the_writes_under_way),
		cmocka_unit_test(a_large_write_changes_each_state_once),
		cmocka_unit_test(a_record_is_worth_what_its_read_was),
		cmocka_unit_test(tmem_has_what_the_disk_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
