/*
 * kvmclock over a guest's memory that notes every access: in which order a structure is filled in,
 * what happens where memory fails, and that the clock a guest computes from it is right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "arch/x86/arch.h"
#include "arch/x86/guest/kvmclock.h"
#include "kernel/vm/vm.h"

#define RAM 8192u

static u8 ram[RAM];
static struct vm vm;
static struct vcpu vcpu;
static bool synchronous;
static unsigned accesses, fail_at, waits;
static int fail_with;
static u64 hz;
/* The version as every write left it, and where each wrote. */
static u32 versions[8];
static u64 written_at[8], version_at;
static unsigned writes;

bool arch_tsc_is_synchronous(void)
{
	return synchronous;
}

u64 arch_tsc_hz(void)
{
	return hz;
}

u64 arch_wall_clock(u64 tsc)
{
	return 1700000000 * 1000000000ul + tsc;
}

void memory_wait(struct vcpu *waiting)
{
	assert_ptr_equal(waiting, &vcpu);
	waits++;
}

static int access(gpa_t at, u64 bytes)
{
	if (++accesses == fail_at)
		return fail_with;
	return at.raw >= RAM || bytes > RAM - at.raw ? -SLUICE_EFAULT : 0;
}

int memory_read(struct vm *of, gpa_t from, void *to, u64 bytes)
{
	int err = access(from, bytes);

	assert_ptr_equal(of, &vm);
	if (!err)
		memcpy(to, ram + from.raw, bytes);
	return err;
}

int memory_write(struct vm *of, gpa_t to, const void *from, u64 bytes)
{
	int err = access(to, bytes);

	assert_ptr_equal(of, &vm);
	if (err)
		return err;
	memcpy(ram + to.raw, from, bytes);
	assert_in_range(writes, 0, 7);
	memcpy(&versions[writes], ram + version_at, 4);
	written_at[writes++] = to.raw;
	return 0;
}

static int setup(void **state)
{
	(void)state;
	memset(ram, 0, sizeof(ram));
	memset(&vm, 0, sizeof(vm));
	vm.started_at = 5000000;
	vcpu.vm = &vm;
	synchronous = true;
	hz = 2900000000;
	accesses = fail_at = waits = writes = 0;
	return 0;
}

static enum outcome write_time(u64 at)
{
	writes = accesses = 0;
	version_at = at;
	return kvmclock_write(&vcpu, MSR_KVM_SYSTEM_TIME, at | KVM_SYSTEM_TIME_ON);
}

static struct kvmclock_time time_at(u64 at)
{
	struct kvmclock_time time;

	memcpy(&time, ram + at, sizeof(time));
	return time;
}

/* As Linux computes it: __pvclock_read_cycles(). */
static u64 guest_clock(const struct kvmclock_time *time, u64 tsc)
{
	u64 delta = tsc - time->tsc_timestamp;

	delta = time->tsc_shift < 0 ? delta >> -time->tsc_shift : delta << time->tsc_shift;
	return time->system_time + (u64)((unsigned __int128)delta * time->tsc_to_system_mul >> 32);
}

static void filled_in_behind_an_odd_version(void **state)
{
	static const u32 before[] = {0, 1, 2, 7, 0xfffffffe, 0xffffffff};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(before); i++) {
		memcpy(ram + 64, &before[i], 4);
		assert_int_equal(write_time(64), DONE);
		assert_int_equal(writes, 3);
		assert_int_equal(versions[0] & 1, 1);
		assert_int_equal(written_at[0], 64);
		assert_int_equal(versions[1], versions[0]);
		assert_int_equal(written_at[1], 68);
		assert_int_equal(written_at[2], 64);
		assert_int_equal(versions[2], versions[0] + 1);
		assert_int_equal(versions[2] & 1, 0);
		assert_int_not_equal(versions[2], before[i]);
	}
	/* The wall clock likewise. */
	writes = 0;
	version_at = 128;
	assert_int_equal(kvmclock_write(&vcpu, MSR_KVM_WALL_CLOCK, 128), DONE);
	assert_int_equal(writes, 3);
	assert_int_equal(versions[0], 1);
	assert_int_equal(versions[1], 1);
	assert_int_equal(versions[2], 2);
}

static void time_begins_with_the_guest(void **state)
{
	struct kvmclock_time time;
	struct kvmclock_wall wall;

	(void)state;
	assert_int_equal(write_time(4096 - 16), DONE); /* across two pages */
	time = time_at(4096 - 16);
	assert_int_equal(time.version, 2);
	assert_int_equal(time.tsc_timestamp, vm.started_at);
	assert_int_equal(time.system_time, 0);
	assert_int_equal(guest_clock(&time, vm.started_at), 0);
	assert_int_equal(time.flags, KVMCLOCK_STABLE);
	assert_int_equal(kvmclock_write(&vcpu, MSR_KVM_WALL_CLOCK, 0), DONE);
	memcpy(&wall, ram, sizeof(wall));
	assert_int_equal(wall.seconds, 1700000000);
	assert_int_equal(wall.nanoseconds, 5000000);
}

static void a_clock_is_stable_if_processors_agree(void **state)
{
	(void)state;
	assert_int_equal(kvmclock_features(), 1u << 24 | 1u << 3 | 1u << 1);
	synchronous = false;
	assert_int_equal(kvmclock_features(), 1u << 3 | 1u << 1);
	assert_int_equal(write_time(0), DONE);
	assert_int_equal(time_at(0).flags, 0);
}

/* The error against exact arithmetic, over a year, is below 2 parts in 10^9 and the clock never
 * goes back. */
static void the_clock_is_right(void **state)
{
	static const u64 rates[] = {1000000, 999999999, 1000000000, 1000000001, 1999999999,
		2000000000, 2000000001, 2893123456, 3999999999, 4000000000, 4000000001, 5700000000,
		15999999999, 50000000};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
		struct kvmclock_time time;
		u64 last = 0;

		hz = rates[i];
		assert_int_equal(write_time(0), DONE);
		time = time_at(0);
		assert_true(time.tsc_to_system_mul >= 0x7fffffff);
		for (u64 seconds = 0; seconds < 366 * 86400; seconds += seconds / 3 + 1) {
			u64 ticks = seconds * hz + seconds % 1000, now, exact;

			now = guest_clock(&time, vm.started_at + ticks);
			exact = (u64)((unsigned __int128)ticks * 1000000000 / hz);
			assert_true(now >= last);
			assert_true(now <= exact);
			if (exact - now > exact / 1000000000 * 2 + 8)
				fail_msg("%lu Hz: %lu instead of %lu", (unsigned long)hz,
					(unsigned long)now, (unsigned long)exact);
			last = now;
		}
	}
}

static void a_structure_that_is_switched_off_is_not_written(void **state)
{
	(void)state;
	assert_int_equal(kvmclock_write(&vcpu, MSR_KVM_SYSTEM_TIME, 64), DONE);
	assert_int_equal(kvmclock_write(&vcpu, MSR_KVM_SYSTEM_TIME, ~0ul << 12), DONE);
	assert_int_equal(accesses, 0);
}

static void bad_addresses_are_refused(void **state)
{
	static const u64 addresses[] = {
		2, 66, RAM, RAM - 28, RAM - 4, 1ul << 40, ~0ul << 2, 1ul << 63};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++)
		assert_int_equal(write_time(addresses[i]), BAD);
	version_at = 0;
	assert_int_equal(kvmclock_write(&vcpu, MSR_KVM_WALL_CLOCK, 1), BAD);
	assert_int_equal(kvmclock_write(&vcpu, MSR_KVM_WALL_CLOCK, 2), BAD);
	assert_int_equal(kvmclock_write(&vcpu, MSR_KVM_WALL_CLOCK, RAM - 8), BAD);
	assert_int_equal(waits, 0);
}

static void without_a_frame_the_vcpu_waits_and_tries_again(void **state)
{
	(void)state;
	for (unsigned at = 1; at <= 4; at++) {
		waits = 0;
		fail_at = at;
		fail_with = -SLUICE_ENOMEM;
		assert_int_equal(write_time(64), WAIT);
		assert_int_equal(waits, 1);
		fail_with = -SLUICE_EFAULT;
		assert_int_equal(write_time(64), BAD);
		assert_int_equal(waits, 1);
		fail_at = 0;
		assert_int_equal(write_time(64), DONE);
		assert_int_equal(time_at(64).version & 1, 0);
		assert_int_equal(time_at(64).tsc_timestamp, vm.started_at);
	}
}

int main(void)
{
#define CLOCK_TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		CLOCK_TEST(filled_in_behind_an_odd_version),
		CLOCK_TEST(time_begins_with_the_guest),
		CLOCK_TEST(a_clock_is_stable_if_processors_agree),
		CLOCK_TEST(the_clock_is_right),
		CLOCK_TEST(a_structure_that_is_switched_off_is_not_written),
		CLOCK_TEST(bad_addresses_are_refused),
		CLOCK_TEST(without_a_frame_the_vcpu_waits_and_tries_again),
	};

	return cmocka_run_group_tests_name("kvmclock", tests, NULL, NULL);
}
