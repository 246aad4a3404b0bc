/*
 * Quiescence with simulated CPUs: no frame leaves limbo before every CPU passed a quiescent point
 * that began after it was taken away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/limbo.h"

#define CPUS 4

static u64 random_state = 7;
static u64 random_below(u64 limit)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (random_state >> 33) % limit;
}

/* CPU @index at the head of its dispatch loop. */
static void pass(unsigned index)
{
	fake_run_as(index);
	epoch_quiescent(epoch_now());
}

static void start(void)
{
	fake_core_start(MIB(16), CPUS);
	for (unsigned i = 0; i < CPUS; i++)
		pass(i);
	fake_run_as(0);
}

static mfn_t take_away(unsigned order)
{
	mfn_t frame = frame_alloc(FRAME_GUEST, order, 1);

	assert_false(mfn_is_none(frame));
	limbo_add(frame, order, FRAME_GUEST, epoch_advance());
	return frame;
}

static bool is_free(mfn_t frame)
{
	return frame_of(frame)->class == FRAME_FREE;
}

static void each_cpu_must_pass(void **state)
{
	(void)state;
	/* In every order in which the CPUs can come. */
	for (unsigned last = 0; last < CPUS; last++) {
		mfn_t frame;

		start();
		frame = take_away(0);
		for (unsigned i = 0; i < CPUS; i++) {
			if (i == last)
				continue;
			pass(i);
			limbo_drain();
			assert_false(is_free(frame));
		}
		assert_int_equal(limbo_frames(), 1);
		pass(last);
		limbo_drain();
		assert_true(is_free(frame));
		assert_int_equal(limbo_frames(), 0);
	}
}

static void an_older_epoch_is_not_enough(void **state)
{
	u64 before;
	mfn_t frame;

	(void)state;
	start();
	/* CPU 1 read the epoch, was delayed, and publishes it after the frame was taken. */
	before = epoch_now();
	frame = take_away(0);
	for (unsigned i = 0; i < CPUS; i++)
		if (i != 1)
			pass(i);
	fake_run_as(1);
	epoch_quiescent(before);
	limbo_drain();
	assert_false(is_free(frame));
	epoch_quiescent(epoch_now());
	limbo_drain();
	assert_true(is_free(frame));
}

static void idle_cpus_do_not_hold_back(void **state)
{
	mfn_t frame;

	(void)state;
	start();
	fake_run_as(2);
	epoch_enter_idle();
	frame = take_away(0);
	for (unsigned i = 0; i < CPUS; i++)
		if (i != 2)
			pass(i);
	limbo_drain();
	assert_true(is_free(frame));
	/* Back from idle it counts again. */
	fake_run_as(2);
	epoch_leave_idle();
	frame = take_away(0);
	for (unsigned i = 0; i < CPUS; i++)
		if (i != 2)
			pass(i);
	limbo_drain();
	assert_false(is_free(frame));
	pass(2);
	limbo_drain();
	assert_true(is_free(frame));
}

static void laggards_are_kicked_once(void **state)
{
	(void)state;
	start();
	take_away(0);
	pass(0);
	pass(3);
	fake_run_as(0);
	memset(fake_kicks, 0, sizeof(fake_kicks));
	limbo_drain();
	limbo_drain();
	assert_int_equal(fake_kicks[0], 0);
	assert_int_equal(fake_kicks[1], 1);
	assert_int_equal(fake_kicks[2], 1);
	assert_int_equal(fake_kicks[3], 0);
	pass(1);
	pass(2);
	limbo_drain();
	assert_int_equal(limbo_frames(), 0);
	take_away(0);
	pass(0);
	limbo_drain();
	assert_int_equal(fake_kicks[1], 2);
	fake_limbo_empty();
}

static void draining_is_bounded(void **state)
{
	u64 before;

	(void)state;
	start();
	before = frames_free();
	for (unsigned i = 0; i < 200; i++)
		take_away(0);
	take_away(BLOCK_ORDER);
	for (unsigned i = 0; i < CPUS; i++)
		pass(i);
	for (unsigned left = 200 + BLOCK_PAGES; left > 0;) {
		limbo_drain();
		assert_true(left - limbo_frames() <= 64 + BLOCK_PAGES);
		assert_true(limbo_frames() < left);
		left = (unsigned)limbo_frames();
	}
	assert_int_equal(frames_free(), before);
}

/*
 * Random steps of all CPUs. The model keeps for each frame in limbo which CPUs have passed since; a
 * frame must not be free before all bits are set.
 */
static void random_steps_never_free_early(void **state)
{
	static struct {
		mfn_t frame;
		u32 passed;
	} waiting[512];
	u64 pending_epoch[CPUS] = {0}; /* an entry under way: epoch read, not yet published */
	u32 pending_since[CPUS];       /* frames taken before it read, by number */
	unsigned count = 0;
	u64 freed = 0;

	(void)state;
	start();
	for (unsigned step = 0; step < 200000; step++) {
		unsigned cpu = (unsigned)random_below(CPUS);

		fake_run_as(cpu);
		switch (random_below(5)) {
		case 0:
			if (count < ARRAY_SIZE(waiting)) {
				waiting[count].frame = take_away(0);
				waiting[count++].passed = 0;
			}
			break;
		case 1: /* an entry reads the epoch ... */
			if (!pending_epoch[cpu]) {
				pending_epoch[cpu] = epoch_now();
				pending_since[cpu] = count;
			}
			break;
		case 2: /* ... and publishes it later */
			if (pending_epoch[cpu]) {
				epoch_quiescent(pending_epoch[cpu]);
				pending_epoch[cpu] = 0;
				for (u32 i = 0; i < pending_since[cpu]; i++)
					waiting[i].passed |= 1U << cpu;
			}
			break;
		case 3:
			if (random_below(8) == 0 && !pending_epoch[cpu]) {
				epoch_enter_idle();
				epoch_leave_idle();
				for (u32 i = 0; i < count; i++)
					waiting[i].passed |= 1U << cpu;
			}
			break;
		case 4:
			limbo_drain();
			break;
		}
		for (u32 i = 0; i < count; i++) {
			if (frame_of(waiting[i].frame)->class == FRAME_LIMBO)
				continue;
			assert_int_equal(waiting[i].passed, (1U << CPUS) - 1);
			freed++;
			/* Keep the order: the numbers in pending_since count from the front. */
			memmove(&waiting[i], &waiting[i + 1], (--count - i) * sizeof(waiting[0]));
			for (unsigned c = 0; c < CPUS; c++)
				pending_since[c] -= pending_epoch[c] && i < pending_since[c];
			i--;
		}
	}
	assert_true(freed > 1000);
	fake_limbo_empty();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_cpu_must_pass),
		cmocka_unit_test(an_older_epoch_is_not_enough),
		cmocka_unit_test(idle_cpus_do_not_hold_back),
		cmocka_unit_test(laggards_are_kicked_once),
		cmocka_unit_test(draining_is_bounded),
		cmocka_unit_test(random_steps_never_free_early),
	};

	return cmocka_run_group_tests_name("quiescence", tests, NULL, NULL);
}
