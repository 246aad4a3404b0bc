/*
 * The frame allocator against a plain model: an array that says who holds each page. Random
 * allocations and frees of every order; after each round the counters, the lists and full merging
 * are checked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/machine.h"
#include "kernel/core/frame.h"
#include "kernel/core/frame_internal.h"

/* 64 MiB with a hole, and an end that no large block fits. */
static const u64 ranges[][2] = {
	{0, 0x9f000},
	{MIB(1), MIB(30)},
	{MIB(33), MIB(31) - 5 * PAGE_SIZE},
};
#define MODEL_PAGES (MIB(64) / PAGE_SIZE)

/* What the test believes of each page: FRAME_ABSENT, FRAME_FREE or the class it was allocated as.
 */
static u8 model[MODEL_PAGES];

static u32 random_state = 1;
static u32 random_below(u32 limit)
{
	random_state = random_state * 1103515245 + 12345;
	return (random_state >> 8) % limit;
}

static u64 model_count(u8 class)
{
	u64 count = 0;

	for (u64 i = 0; i < MODEL_PAGES; i++)
		count += model[i] == class;
	return count;
}

static void start(unsigned cpus)
{
	memset(model, FRAME_ABSENT, sizeof(model));
	fake_machine_start_ranges(ranges, ARRAY_SIZE(ranges), cpus);
	fake_machine_use(MIB(1), MIB(2) + PAGE_SIZE);
	fake_machine_use(MIB(8), KIB(12));
	assert_int_equal(frames_init(), 0);
	for (unsigned r = 0; r < ARRAY_SIZE(ranges); r++)
		memset(&model[ranges[r][0] / PAGE_SIZE], FRAME_FREE, ranges[r][1] / PAGE_SIZE);
	for (unsigned u = 0; u < boot_info()->used_count; u++)
		memset(&model[boot_info()->used[u].start.raw / PAGE_SIZE], FRAME_HYPERVISOR,
			boot_info()->used[u].bytes / PAGE_SIZE);
}

static u64 model_whole_blocks(void)
{
	u64 pages = 0;

	for (u64 base = 0; base + BLOCK_PAGES <= MODEL_PAGES; base += BLOCK_PAGES) {
		u64 free = 0;

		while (free < BLOCK_PAGES && model[base + free] == FRAME_FREE)
			free++;
		pages += free == BLOCK_PAGES ? BLOCK_PAGES : 0;
	}
	return pages;
}

/* Everything the allocator says agrees with the model. */
static void compare(void)
{
	mfn_t wrong;

	for (u64 i = 0; i < MODEL_PAGES; i++) {
		struct frame *frame = frame_of(mfn(i));

		if (model[i] == FRAME_ABSENT) {
			assert_null(frame);
			continue;
		}
		assert_non_null(frame);
		assert_int_equal(frame->class, model[i]);
		assert_int_equal(frame->refs, model[i] == FRAME_FREE ? 0 : 1);
	}
	for (u8 class = FRAME_FREE; class < FRAME_CLASSES; class ++)
		assert_int_equal(frames_of_class(class), model_count(class));
	assert_int_equal(frames_free_in_blocks(), model_whole_blocks());
	assert_int_equal(frames_check_free_lists(&wrong), 0);
	for (u64 i = 0; i < MODEL_PAGES; i++) {
		struct frame *frame = frame_of(mfn(i));

		if (!frame || model[i] != FRAME_FREE)
			continue;
		assert_int_equal(frame->class, FRAME_FREE | FRAME_MARK);
		frame->class = FRAME_FREE;
	}
}

/* The lists hold the largest blocks possible: no free buddy of equal order stands beside another.
 */
static void assert_merged(void)
{
	for (unsigned order = 0; order < FRAME_MAX_ORDER; order++)
		for (u32 at = frames.heads[order]; at != FRAME_NONE; at = frames.table[at].next) {
			u32 buddy = at ^ (1U << order);

			assert_false(buddy < frames.end &&
				     frames.table[buddy].class == FRAME_FREE &&
				     frames.table[buddy].order == order);
		}
}

static void boot_ranges_are_classified(void **state)
{
	(void)state;
	start(1);
	compare();
	assert_merged();
	assert_int_equal(frames_end(), MODEL_PAGES - 5);
	assert_int_equal(frames_total(), MODEL_PAGES - model_count(FRAME_ABSENT));
	assert_null(arch_early_alloc(PAGE_SIZE, PAGE_SIZE));
}

static void random_operations_agree_with_the_model(void **state)
{
	static const u8 classes[] = {FRAME_HYPERVISOR, FRAME_GUEST, FRAME_TMEM, FRAME_DEVICE};
	static struct {
		u64 first;
		unsigned order;
	} held[8192];
	unsigned count = 0;

	(void)state;
	start(1);
	for (unsigned round = 0; round < 60000; round++) {
		/* Phases of growth and of shrinking, so that both ends are reached. */
		bool grow = random_below(100) < ((round >> 12) & 1 ? 35 : 65);

		if (grow && count < ARRAY_SIZE(held)) {
			unsigned order = random_below(4) ? random_below(3) : random_below(11);
			u8 class = classes[random_below(ARRAY_SIZE(classes))];
			mfn_t first = frame_alloc(class, order, class == FRAME_GUEST ? 7 : 0);

			if (mfn_is_none(first))
				continue;
			assert_int_equal(first.raw % (1UL << order), 0);
			for (u64 i = 0; i < 1UL << order; i++) {
				assert_int_equal(model[first.raw + i], FRAME_FREE);
				model[first.raw + i] = class;
			}
			held[count].first = first.raw;
			held[count++].order = order;
		} else if (count > 0) {
			unsigned pick = random_below(count);
			u64 first = held[pick].first;
			unsigned order = held[pick].order;

			if (random_below(2)) {
				frame_free(mfn(first), order);
			} else { /* apart, from the far end */
				for (u64 i = 1UL << order; i-- > 0;)
					frame_free(mfn(first + i), 0);
			}
			memset(&model[first], FRAME_FREE, 1UL << order);
			held[pick] = held[--count];
		}
		if (round % 4096 == 0) {
			compare();
			assert_merged();
		}
	}
	while (count-- > 0) {
		frame_free(mfn(held[count].first), held[count].order);
		memset(&model[held[count].first], FRAME_FREE, 1UL << held[count].order);
	}
	compare();
	assert_merged();
}

static void orders_reach_one_gib(void **state)
{
	mfn_t block;

	(void)state;
	fake_machine_start(GIB(2) + MIB(64), 1);
	assert_int_equal(frames_init(), 0);
	block = frame_alloc(FRAME_GUEST, FRAME_MAX_ORDER, 1);
	assert_false(mfn_is_none(block));
	assert_int_equal(block.raw % (1UL << FRAME_MAX_ORDER), 0);
	assert_false(mfn_is_none(frame_alloc(FRAME_GUEST, FRAME_MAX_ORDER, 1)));
	assert_true(mfn_is_none(frame_alloc(FRAME_GUEST, FRAME_MAX_ORDER, 1)));
	assert_true(mfn_is_none(frame_alloc(FRAME_GUEST, FRAME_MAX_ORDER + 1, 1)));
	frame_free(block, FRAME_MAX_ORDER);
	block = frame_alloc(FRAME_GUEST, FRAME_MAX_ORDER, 1);
	assert_false(mfn_is_none(block));
}

static void reserve_is_invisible_to_tmem(void **state)
{
	u64 reserve;

	(void)state;
	start(2);
	reserve = frames_reserve();
	assert_int_equal(reserve, 2 * BLOCK_PAGES); /* 2 MiB a CPU is more than RAM/64 */
	while (!mfn_is_none(frame_alloc(FRAME_TMEM, 0, 0)))
		;
	assert_int_equal(frames_free(), reserve);
	for (u64 i = 0; i < reserve; i++)
		assert_false(mfn_is_none(frame_alloc(FRAME_HYPERVISOR, 0, 0)));
	assert_true(mfn_is_none(frame_alloc(FRAME_GUEST, 0, 1)));
	frames_set_reserve(MIB(3) + 1);
	assert_int_equal(frames_reserve(), MIB(3) / PAGE_SIZE + 1);
	frames_set_reserve(0);
	assert_int_equal(frames_reserve(), reserve);
}

static void wrong_use_is_a_bug(void **state)
{
	mfn_t frame, block;

	(void)state;
	start(1);
	frame = frame_alloc(FRAME_GUEST, 0, 1);
	block = frame_alloc(FRAME_TMEM, BLOCK_ORDER, 0);
	assert_true(EXPECT_BUG(frame_change_class(frame, FRAME_TMEM, FRAME_GUEST, 1)));
	frames.lock = SPINLOCK(LOCK_FRAMES);
	assert_true(EXPECT_BUG(frame_put(frame)));
	frame_of(frame)->refs = 1;
	frame_get(frame);
	assert_true(EXPECT_BUG(frame_free(frame, 0)));
	frames.lock = SPINLOCK(LOCK_FRAMES);
	frame_put(frame);
	frame_free(frame, 0);
	assert_true(EXPECT_BUG(frame_free(frame, 0)));
	frames.lock = SPINLOCK(LOCK_FRAMES);
	assert_true(EXPECT_BUG(frame_free(mfn(block.raw + 1), 1)));
	assert_true(EXPECT_BUG(frame_get(frame)));
	assert_true(EXPECT_BUG(frame_change_class(mfn(1UL << 40), FRAME_GUEST, FRAME_TMEM, 0)));
}

static void modules_change_hands(void **state)
{
	u64 free_before;

	(void)state;
	start(1);
	free_before = frames_free();
	frames_claim_range(hpa(MIB(8)), KIB(12), FRAME_DEVICE);
	assert_int_equal(frames_of_class(FRAME_DEVICE), 3);
	memset(&model[MIB(8) / PAGE_SIZE], FRAME_DEVICE, 3);
	compare();
	/* Two MiB and a part of a page: the whole last page goes. */
	frames_release_range(hpa(MIB(1)), MIB(2) + 1);
	memset(&model[MIB(1) / PAGE_SIZE], FRAME_FREE, BLOCK_PAGES + 1);
	assert_int_equal(frames_free(), free_before + BLOCK_PAGES + 1);
	compare();
	assert_merged();
}

static void hypervisor_pages_are_zeroed_and_exact(void **state)
{
	u64 free_before;
	u8 *pages;

	(void)state;
	start(1);
	/* Dirty some memory first. */
	pages = hypervisor_alloc(4);
	memset(pages, 0xaa, 16 * PAGE_SIZE);
	hypervisor_free(pages, 4);
	free_before = frames_free();
	pages = hypervisor_alloc_pages(11, 3);
	assert_int_equal(frames_free(), free_before - 11);
	for (u64 i = 0; i < 11 * PAGE_SIZE; i++)
		assert_int_equal(pages[i], 0);
	assert_int_equal(frame_of(ptr_to_mfn(pages))->owner, 3);
	hypervisor_free_pages(pages, 11);
	assert_int_equal(frames_free(), free_before);
	assert_merged();
	assert_int_equal(order_of(1), 0);
	assert_int_equal(order_of(PAGE_SIZE), 0);
	assert_int_equal(order_of(PAGE_SIZE + 1), 1);
	assert_int_equal(order_of(5 * PAGE_SIZE), 3);
	assert_int_equal(order_of(GIB(1)), 18);
	assert_null(hypervisor_alloc(FRAME_MAX_ORDER));
}

static void no_room_for_the_table_is_reported(void **state)
{
	(void)state;
	fake_machine_start(MIB(2), 1);
	fake_machine_use(0, MIB(2) - PAGE_SIZE);
	assert_int_not_equal(frames_init(), 0);
	assert_int_equal(fake_log_errors, 1);
	assert_non_null(strstr(fake_log_text, "frame table"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boot_ranges_are_classified),
		cmocka_unit_test(random_operations_agree_with_the_model),
		cmocka_unit_test(orders_reach_one_gib),
		cmocka_unit_test(reserve_is_invisible_to_tmem),
		cmocka_unit_test(wrong_use_is_a_bug),
		cmocka_unit_test(modules_change_hands),
		cmocka_unit_test(hypervisor_pages_are_zeroed_and_exact),
		cmocka_unit_test(no_room_for_the_table_is_reported),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
