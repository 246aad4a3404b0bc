/*
 * What the Linux module decides about pages of its swap disk (guest-shim/linux/preswap.h): keys,
 * and for each result of tmem where a page goes or comes from. Then a disk of a few pages over a
 * tmem that fails at random in all ways, against what was written last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guest-shim/linux/preswap.h"
#include "guest-shim/linux/tmem_key.h"

static void every_page_has_a_handle_of_its_own(void **state)
{
	static const uint64_t pages[] = {0, 1, 31, 32, UINT32_MAX - 1ul, UINT32_MAX,
		UINT32_MAX + 1ul, UINT32_MAX + 2ul, 1ul << 40};

	(void)state;
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
		struct tmem_key a = tmem_key(15, pages[i]);

		assert_int_equal((uint32_t)a.handle, 15);
		assert_int_equal(a.object[0] << 32 | a.handle >> 32, pages[i]);
		assert_int_equal(a.object[1] | a.object[2], 0);
	}
}

static void the_header_is_the_disks(void **state)
{
	(void)state;
	assert_false(preswap_wants(0));
	assert_true(preswap_wants(1));
	assert_true(preswap_wants(1ul << 40));
}

static const long refusals[] = {-SLUICE_ENOSPC, -SLUICE_ENOMEM, -SLUICE_EBADF, -SLUICE_EFAULT,
	-SLUICE_EBUSY, -SLUICE_EINVAL, -SLUICE_ENOSYS, -SLUICE_EPERM};

static void a_refused_page_goes_to_the_disk_and_its_old_copy_goes(void **state)
{
	(void)state;
	assert_int_equal(preswap_after_put(0, false), PRESWAP_WRITE_KEPT);
	assert_int_equal(preswap_after_put(0, true), PRESWAP_WRITE_KEPT);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		assert_int_equal(preswap_after_put(refusals[i], false), PRESWAP_WRITE_DISK);
		assert_int_equal(preswap_after_put(refusals[i], true), PRESWAP_WRITE_FLUSH_DISK);
		assert_int_equal(tmem_is_full(refusals[i]), i < 2);
	}
}

static void what_tmem_lost_is_not_taken_from_the_disk(void **state)
{
	(void)state;
	assert_int_equal(preswap_after_get(0, true), PRESWAP_READ_DONE);
	assert_int_equal(preswap_after_get(-SLUICE_ENOENT, true), PRESWAP_READ_LOST);
	assert_int_equal(preswap_after_get(-SLUICE_ENOENT, false), PRESWAP_READ_DISK);
	/* A copy that a flush left behind. */
	assert_int_equal(preswap_after_get(0, false), PRESWAP_READ_FLUSH_DISK);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		assert_int_equal(preswap_after_get(refusals[i], true), PRESWAP_READ_LOST);
		assert_int_equal(preswap_after_get(refusals[i], false), PRESWAP_READ_DISK);
	}
}

/* ---- A disk of numbers -------------------------------------------------------------------------
 */

#define PAGES 4
#define STEPS 200000

static struct {
	int tmem[PAGES]; /* 0: nothing */
	int disk[PAGES];
	bool stored[PAGES];
	int last[PAGES];
} model;

static void model_flush(unsigned page)
{
	/* Even a flush may fail, and leave a copy. */
	if (rand() % 4)
		model.tmem[page] = 0;
	model.stored[page] = false;
}

static void model_write(unsigned page, int number)
{
	long result = rand() % 2 ? 0 : refusals[rand() % 8];

	/* A refused put mostly takes the old copy away. */
	if (result == 0)
		model.tmem[page] = number;
	else if (rand() % 2)
		model.tmem[page] = 0;
	switch (preswap_after_put(result, model.stored[page])) {
	case PRESWAP_WRITE_KEPT:
		model.stored[page] = true;
		break;
	case PRESWAP_WRITE_FLUSH_DISK:
		model_flush(page);
		/* fall through */
	case PRESWAP_WRITE_DISK:
		model.disk[page] = number;
	}
	model.last[page] = number;
}

/* Negative: an error. */
static int model_read(unsigned page)
{
	bool broken = rand() % 16 == 0;
	long result = broken ? refusals[rand() % 8] : model.tmem[page] ? 0 : -SLUICE_ENOENT;

	switch (preswap_after_get(result, model.stored[page])) {
	case PRESWAP_READ_DONE:
		return model.tmem[page];
	case PRESWAP_READ_FLUSH_DISK:
		model_flush(page);
		return model.disk[page];
	case PRESWAP_READ_DISK:
		return model.disk[page];
	default:
		return -1;
	}
}

static void a_read_is_what_was_written_last_or_an_error(void **state)
{
	unsigned right = 0, errors = 0;

	(void)state;
	srand(1);
	for (int step = 1; step <= STEPS; step++) {
		unsigned page = (unsigned)rand() % PAGES;
		int seen;

		if (rand() % 2) {
			model_write(page, step);
			continue;
		}
		seen = model_read(page);
		if (seen < 0) {
			errors++;
			continue;
		}
		assert_int_equal(seen, model.last[page]);
		right++;
	}
	assert_true(right > STEPS / 4 && errors > STEPS / 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_page_has_a_handle_of_its_own),
		cmocka_unit_test(the_header_is_the_disks),
		cmocka_unit_test(a_refused_page_goes_to_the_disk_and_its_old_copy_goes),
		cmocka_unit_test(what_tmem_lost_is_not_taken_from_the_disk),
		cmocka_unit_test(a_read_is_what_was_written_last_or_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
