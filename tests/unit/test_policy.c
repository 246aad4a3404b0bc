/*
 * The glue of the balloon policies: sizes at start, the policy for tests, and the rule that who
 * lacks what he was promised gets it from whoever has most above his own promise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/policy.h"
#include "kernel/virtio/balloon_state.h"
#include "kernel/vm/audit.h"

#define GUESTS 4u

static struct balloon_config balloon;
static struct guest_config configs[GUESTS];
static struct vm *vms[GUESTS];

void ioapic_raise(struct vm *of, unsigned pin)
{
	(void)of;
	assert_int_equal(pin, PLATFORM_VIRTIO_GSI + PLATFORM_BALLOON_SLOT);
}

void ioapic_lower(struct vm *of, unsigned pin)
{
	ioapic_raise(of, pin);
}

static int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(128), 1);
	epoch_quiescent(epoch_now());
	memset(vms, 0, sizeof(vms));
	balloon = (struct balloon_config){.tick_ms = 50, .wait_memory_s = 30};
	policy_start(&balloon);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < GUESTS; i++)
		if (vms[i]) {
			balloon_destroy(vms[i]);
			memory_uncommit(vms[i]->entitled_pages, vms[i]->memory.ram_pages);
		}
	assert_int_equal(audit_run(), 0);
	return 0;
}

/* Guest @slot of @min to @max MiB as kernel/guests.c starts it, with a driver that says it is there
 * and does nothing. */
static void add(unsigned slot, u64 min, u64 start, u64 max)
{
	struct guest_config *config = &configs[slot];
	struct vm *vm = vms[slot] = fake_vm(slot);

	*config = (struct guest_config){
		.memory_min = MIB(min), .memory_max = MIB(max), .memory_start = MIB(start)};
	config->name[0] = (char)('a' + slot);
	vm->config = config;
	assert_int_equal(
		memory_commit(config->name, MIB(min) / PAGE_SIZE, MIB(max) / PAGE_SIZE), 0);
	vm->entitled_pages = MIB(min) / PAGE_SIZE;
	assert_int_equal(memory_create(vm, MIB(max), &fake_ept), 0);
	assert_int_equal(balloon_create(vm), 0);
	vm->devices[PLATFORM_BALLOON_SLOT]->status = VIRTIO_STATUS_DRIVER_OK;
	policy_guest_starts(vm);
	vm->started = true;
}

/* MiB, rounded down. */
static u64 target(unsigned slot)
{
	struct balloon_sample sample;

	assert_true(balloon_sample(vms[slot], &sample));
	return sample.target_pages * PAGE_SIZE >> 20;
}

static void guests_start_as_large_as_fits(void **state)
{
	(void)state;
	add(0, 16, 0, 64); /* all of it fits */
	assert_int_equal(target(0), 64);
	add(1, 16, 0, 100); /* what is left */
	assert_in_range(target(1), 48, 64);
	assert_int_equal(target(1) % 2, 0);
	add(2, 16, 0, 64); /* what it was promised, though it is lent */
	assert_in_range(target(2), 16, 18);
	add(3, 8, 30, 64); /* what the manifest says */
	assert_int_equal(target(3), 30);
}

static void what_ended_guests_had_can_be_had(void **state)
{
	(void)state;
	add(0, 16, 0, 100);
	assert_in_range(target(0), 90, 100);
	vms[0]->stop_reason = STOP_SHUTDOWN;
	add(1, 16, 0, 90);
	assert_int_equal(target(1), 90);
}

static void a_tick_comes_when_the_manifest_says(void **state)
{
	(void)state;
	assert_int_equal(policy_tick(), 50000);
}

static void static_never_moves(void **state)
{
	(void)state;
	add(0, 8, 20, 32);
	add(1, 8, 0, 32);
	for (unsigned i = 0; i < 100; i++)
		policy_tick();
	assert_int_equal(target(0), 20);
	assert_int_equal(target(1), 32);
}

static void alternate_moves_all(void **state)
{
	unsigned swaps = 0;
	u64 last;
	(void)state;

	balloon.policy = BALLOON_POLICY_ALTERNATE;
	add(0, 8, 20, 32);
	add(1, 10, 20, 30);
	last = target(0);
	for (unsigned i = 0; i < 200; i++) {
		policy_tick();
		if (target(0) != 20) /* it has begun */
			assert_true((target(0) == 32 && target(1) == 10) ||
				    (target(0) == 8 && target(1) == 30));
		swaps += target(0) != last;
		last = target(0);
	}
	assert_in_range(swaps, 9, 11);
}

static void lacks_a_frame(unsigned slot)
{
	vms[slot]->memory.short_since = vms[slot]->memory.short_last = arch_tsc();
}

/* The driver of guest @slot gives what it was asked for, from the end of RAM down. */
static void obey(unsigned slot)
{
	struct vm *vm = vms[slot];
	struct balloon_sample sample;

	for (;;) {
		assert_true(balloon_sample(vm, &sample));
		if (sample.size_pages <= sample.target_pages)
			return;
		assert_int_equal(memory_inflate(vm, gfn(sample.size_pages - 1), 0), 0);
	}
}

static void tick_and_obey(unsigned count)
{
	while (count-- > 0) {
		policy_tick();
		for (unsigned slot = 0; slot < 3; slot++)
			obey(slot);
	}
}

static void the_richest_gives_what_another_was_promised(void **state)
{
	(void)state;
	add(0, 8, 24, 32);
	add(1, 8, 32, 32);
	add(2, 16, 16, 16);
	tick_and_obey(2);
	lacks_a_frame(2);
	policy_tick();
	assert_int_equal(target(1), 29); /* 24 above its promise: an eighth */
	/* No more is asked for before that has come; for a while, then another one has to help. */
	for (unsigned i = 0; i < 9; i++)
		policy_tick();
	assert_int_equal(target(1), 29);
	assert_int_equal(target(0), 24);
	assert_int_equal(target(2), 16);
	policy_tick();
	assert_int_equal(target(1), 29);
	assert_int_equal(target(0), 22);
	obey(1);
	obey(0);
	tick_and_obey(9);
	/* Now and then the other one has more, and at least 2 MiB go. */
	assert_in_range(target(0) + target(1), 28, 38);
	tick_and_obey(40);
	assert_int_equal(target(0), 8);
	assert_int_equal(target(1), 8);
	policy_tick(); /* nobody has anything left to give */
	assert_int_equal(target(0) + target(1) + target(2), 32);
}

static void who_has_what_he_was_promised_gets_nothing(void **state)
{
	(void)state;
	add(0, 8, 32, 32);
	add(1, 8, 16, 16);
	vms[1]->entitled_pages = 0; /* it has more than that */
	lacks_a_frame(1);
	policy_tick();
	assert_int_equal(target(0), 32);
	vms[1]->entitled_pages = MIB(8) / PAGE_SIZE;
}

static void who_does_not_listen_is_not_asked(void **state)
{
	(void)state;
	add(0, 8, 32, 32);
	add(1, 8, 20, 32);
	add(2, 16, 16, 16);
	vms[0]->devices[PLATFORM_BALLOON_SLOT]->status = 0; /* no driver */
	lacks_a_frame(2);
	obey(1);
	policy_tick();
	assert_int_equal(target(0), 32);
	assert_int_equal(target(1), 18);
	/* The one with a driver never moves: after a while a third one is asked. */
	add(3, 8, 12, 12);
	for (unsigned i = 0; i < 8; i++)
		policy_tick();
	assert_int_equal(target(3), 12);
	for (unsigned i = 0; i < 4; i++)
		policy_tick();
	assert_int_equal(target(3), 10);
	assert_int_equal(target(0), 32);
	assert_int_equal(target(1), 18);
	vms[0]->stop_reason = vms[1]->stop_reason = STOP_SHUTDOWN;
	policy_tick();
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(guests_start_as_large_as_fits),
		TEST(what_ended_guests_had_can_be_had),
		TEST(a_tick_comes_when_the_manifest_says),
		TEST(static_never_moves),
		TEST(alternate_moves_all),
		TEST(the_richest_gives_what_another_was_promised),
		TEST(who_has_what_he_was_promised_gets_nothing),
		TEST(who_does_not_listen_is_not_asked),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
