/*
 * What is in packs: pages through the compressor, damaged fragments, which pages are tried at all,
 * and what the audit finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/one_pack.h"
#include "tests/unit/tmem_host/port.h"
#include "tmem/pack.h"
#include "tmem/pack_run.h"
#include "tmem/pack_page.h"

/* ---- Pages through the compressor --------------------------------------------------- */

/* Of each @period lines of 64 bytes one is random. */
static void make_page(u8 *page, u32 period)
{
	for (u32 i = 0; i < PAGE_SIZE; i++)
		page[i] = i / 64 % period ? (u8)(i / 64) : (u8)host_random(&seed);
}

static void pages_come_back(void **state)
{
	static u8 originals[3000][PAGE_SIZE], page[PAGE_SIZE];
	struct admission admission = {0};
	u32 crossing = 0;

	(void)state;
	start(8192, ARRAY_SIZE(originals));
	for (u32 i = 0; i < pages; i++) {
		u32 length;

		make_page(originals[i], 2 + i % 9);
		length = page_compress(&admission, originals[i]);
		assert_in_range(length, 1, PACK_LENGTH_MAX);
		ids[i] = pack_store(&pack, i % 2, tmem_port_scratch()->fragment, length, i);
		assert_int_not_equal(ids[i], 0);
	}
	for (u32 i = 0; i < pages; i++) {
		struct pack_piece pieces[2];

		pack_read(&pack, ids[i], pieces);
		crossing += pieces[1].length != 0;
		assert_int_equal(page_decompress(&pack, ids[i], page), 0);
		assert_memory_equal(page, originals[i], PAGE_SIZE);
	}
	assert_in_range(crossing, pages / 10, pages * 9 / 10);
	finish();
}

static void damaged_fragments_stay_in_the_page(void **state)
{
	struct admission admission = {0};
	u8 *original = malloc(PAGE_SIZE), *page;
	u32 length, wrong = 0;

	(void)state;
	start(2048, 1);
	make_page(original, 3);
	length = page_compress(&admission, original);
	ids[0] = pack_store(&pack, EPHEMERAL, tmem_port_scratch()->fragment, length, 0);
	/* Every byte to several values; AddressSanitizer sees what is written beside the page. */
	for (u32 at = 0; at < length; at++) {
		static const u8 values[] = {0, 0xff, 0xf0, 0x0f, 0x80};
		struct pack_piece pieces[2];
		u8 *byte, kept;

		pack_read(&pack, ids[0], pieces);
		byte = at < pieces[0].length ? (u8 *)pieces[0].data + at
					     : (u8 *)pieces[1].data + (at - pieces[0].length);
		kept = *byte;
		for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
			page = malloc(PAGE_SIZE);
			*byte = values[i];
			wrong += page_decompress(&pack, ids[0], page) != 0;
			free(page);
		}
		*byte = kept;
	}
	/* A changed literal is a changed page, which LZ4 cannot know. */
	assert_true(wrong > 0);
	page = malloc(PAGE_SIZE);
	assert_int_equal(page_decompress(&pack, ids[0], page), 0);
	assert_memory_equal(page, original, PAGE_SIZE);
	/* Bytes of another kind, of all lengths. */
	for (u32 i = 1; i <= PACK_LENGTH_MAX; i++) {
		u8 *fragment = malloc(i);

		for (u32 j = 0; j < i; j++)
			fragment[j] = (u8)host_random(&seed);
		assert_int_not_equal(tmem_port_decompress(page, fragment, i), 0);
		free(fragment);
	}
	free(page);
	free(original);
	finish();
}

static void compressed_bytes_stay_within_their_bound(void **state)
{
	u8 *page = malloc(PAGE_SIZE);

	(void)state;
	seed = 1;
	for (u32 period = 1; period < 40; period++) {
		u32 length = 0;
		u8 *fragment;

		make_page(page, period);
		for (u32 capacity = 1; capacity <= PAGE_SIZE; capacity += 61) {
			fragment = malloc(capacity);
			length = tmem_port_compress(fragment, page, capacity);
			assert_true(length <= capacity);
			free(fragment);
		}
		if (period == 1) {
			assert_int_equal(length, 0);
			continue;
		}
		fragment = malloc(length);
		assert_int_equal(tmem_port_compress(fragment, page, length), length);
		assert_int_equal(tmem_port_compress(fragment, page, length - 1), 0);
		free(fragment);
	}
	free(page);
}

/* ---- The audit ---------------------------------------------------------------------- */

/* Adds @by to the @bytes at @at; all was sound before, and is again afterwards. */
static void finds(const char *what, void *at, unsigned bytes, u64 by)
{
	u64 good = 0, bad;

	memcpy(&good, at, bytes);
	bad = good + by;
	memcpy(at, &bad, bytes);
	host_complaints = 0;
	if (!pack_audit(&pack, visit_nothing, NULL) || !host_complaints)
		fail_msg("%s is not found", what);
	memcpy(at, &good, bytes);
	assert_int_equal(pack_audit(&pack, visit_nothing, NULL), 0);
	host_complaints = 0;
}

#define FINDS(field, by) finds(#field, &(field), sizeof(field), by)

static void the_audit_finds_what_is_wrong(void **state)
{
	struct pack_class *class = &pack.classes[EPHEMERAL];
	struct fragment *fragment;
	struct run *run;
	u32 bucket;

	(void)state;
	start(4096, 400);
	for (u32 i = 0; i < 400; i++)
		store_one(i, 1500, 700);
	run = run_at(&pack, ids[0] >> FRAGMENT_ID_SHIFT);
	fragment = run_fragment(&pack, run, ids[0] & (BIT(FRAGMENT_ID_SHIFT) - 1));
	bucket = (u32)__builtin_ctzl(class->filled);
	assert_int_equal(pack_audit(&pack, visit_nothing, NULL), 0);
	FINDS(run->frame_count, 1);
	FINDS(run->frames[0], 1);
	FINDS(run->free, 1);
	FINDS(run->places[0], 1 << 6);
	FINDS(run->places[0], 1);
	FINDS(run->prev, 7);
	FINDS(run->next, 1);
	FINDS(fragment->length, GRANULE);
	FINDS(fragment->entry, 1);
	FINDS(class->filled, 1UL << 63);
	FINDS(class->buckets[bucket], 1);
	assert_int_equal(run->frame_count, RUN_FRAMES);
	FINDS(class->short_runs, (u64)(ids[0] >> FRAGMENT_ID_SHIFT) - class->short_runs);
	FINDS(pack.fragments, 1);
	FINDS(pack.bytes, 1);
	FINDS(pack.frames, 1);
	FINDS(pack.free, 1);
	finish();
}

/* ---- Admission ---------------------------------------------------------------------- */

/* How many of @count pages are tried when one in @of_ten/10 compresses. */
static u32 tried(u32 count, u32 of_ten)
{
	struct admission admission = {0};
	u32 tries = 0;

	for (u32 i = 0; i < count; i++) {
		bool saves = host_random(&seed) % 10 < of_ten;

		if (!admission_try(&admission))
			continue;
		tries++;
		admission_note(&admission, saves);
	}
	return tries;
}

static void what_does_not_compress_is_hardly_tried(void **state)
{
	static u8 page[PAGE_SIZE];
	struct admission admission = {0};
	u32 i;

	(void)state;
	seed = 1;
	assert_int_equal(tried(10000, 10), 10000);
	assert_in_range(tried(10000, 5), 9700, 10000);
	assert_in_range(tried(10000, 3), 7000, 10000);
	assert_in_range(tried(10000, 0), 10000 / 16, 10000 / 16 + 20);
	/* A pool whose pages become others is noticed within 16 pages. */
	make_page(page, 1);
	for (i = 0; i < 1000; i++)
		assert_int_equal(page_compress(&admission, page), 0);
	make_page(page, 4);
	for (i = 0; i < 16 && !page_compress(&admission, page); i++)
		;
	assert_true(i < 16);
	assert_int_not_equal(page_compress(&admission, page), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_come_back),
		cmocka_unit_test(damaged_fragments_stay_in_the_page),
		cmocka_unit_test(compressed_bytes_stay_within_their_bound),
		cmocka_unit_test(the_audit_finds_what_is_wrong),
		cmocka_unit_test(what_does_not_compress_is_hardly_tried),
	};

	return cmocka_run_group_tests_name("tmem_pack_page", tests, NULL, NULL);
}
