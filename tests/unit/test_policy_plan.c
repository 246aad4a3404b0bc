/*
 * The glue of the balloon policies that plan: what they are told of the guests, how plans become
 * targets, block by block, and what becomes of guests that are silent, do not listen, come and go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/platform.h>

#include "fake/machine.h"
#include "fake/policy_guests.h"
#include "kernel/policy.h"
#include "kernel/policy_plan.h"
#include "kernel/policy_record.h"
#include "kernel/vm/balloon_control.h"

/* What the balloon of guest @slot says of it, MiB. */
static void says(unsigned slot, u64 free, u64 available)
{
	struct virtio_device *device = vms[slot]->devices[PLATFORM_BALLOON_SLOT];
	struct virtio_balloon *said = container_of(device, struct virtio_balloon, device);

	said->stats[BALLOON_STAT_FREE] = MIB(free);
	said->stats[BALLOON_STAT_AVAILABLE] = MIB(available);
	said->stats[BALLOON_STAT_CACHES] = 0;
	said->stats_age = 0;
}

static void plans_move_whole_blocks(void **state)
{
	(void)state;
	start(BALLOON_POLICY_SELFBALLOON, 0);
	add(0, 5, 32, 32);
	for (unsigned i = 0; i < 100; i++) {
		/* 9 MiB committed, whatever it has */
		says(0, target(0) - MIN(9UL, target(0)), target(0) - MIN(9UL, target(0)));
		policy_tick();
		obey(0);
		assert_int_equal(target(0) % 2, 0);
	}
	assert_in_range(target(0), 8, 12);
}

/* One has 24 MiB to spare, the other has use for all of them. */
static void what_moves_is_told(void **state)
{
	(void)state;
	start(BALLOON_POLICY_SELFBALLOON, 48);
	add(0, 4, 32, 32);
	add(1, 4, 8, 32);
	fake_log_reset();
	for (unsigned i = 0; i < 100; i++) {
		says(0, target(0) - MIN(8UL, target(0)), target(0) - MIN(8UL, target(0)));
		says(1, 0, 0);
		policy_tick();
		obey(0);
		obey(1);
	}
	assert_in_range(target(0), 8, 10);
	assert_non_null(strstr(fake_log_text, "policy: a gave b 4 MiB by now, committed memory"));
	assert_non_null(strstr(fake_log_text, "policy: a gave b 8 MiB by now, "));
	fake_log_reset();
	policy_record_print_for_tools();
	assert_non_null(strstr(fake_log_text, "stat: moved from=a to=b pages="));
	assert_null(strstr(fake_log_text, "stat: moved from=b to=a"));
	policy_record_print();
	assert_non_null(strstr(fake_log_text, "committed memory"));
	/* Not what an earlier machine's guests did. */
	start(BALLOON_POLICY_SELFBALLOON, 48);
	fake_log_reset();
	policy_record_print_for_tools();
	assert_null(strstr(fake_log_text, "moved"));
}

/* What a guest did while the targets came from elsewhere is not the next plan's. */
static void others_ticks_are_sampled(void **state)
{
	struct vcpu vcpu = {0};
	unsigned long us, first = 0;
	const char *at;
	unsigned lines = 0;
	(void)state;

	start(BALLOON_POLICY_ALTERNATE, 0);
	add(0, 4, 16, 16);
	vms[0]->vcpus[0] = &vcpu;
	vms[0]->vcpu_count = 1;
	fake_log_reset();
	for (unsigned i = 0; i < 6; i++) {
		if (i == 4)
			balloon_control_set(BALLOON_CONTROL_SELFBALLOON);
		vcpu.cpu_ticks += 1000 * 1000;
		policy_tick();
	}
	for (at = fake_log_text; (at = strstr(at, "cpu_us=")); at++, lines++) {
		us = strtoul(at + strlen("cpu_us="), NULL, 10);
		first = lines ? first : us;
		assert_int_equal(us, first);
	}
	assert_true(first > 0);
	assert_int_equal(lines, 6);
	vms[0]->vcpu_count = 0;
}

static unsigned long cpu_us_of_a_tick(struct vcpu *vcpu, u64 ms)
{
	const char *at;

	vcpu->cpu_ticks += ms * arch_tsc_hz() / 1000;
	fake_log_reset();
	policy_tick();
	at = strstr(fake_log_text, "cpu_us=");
	assert_non_null(at);
	return strtoul(at + strlen("cpu_us="), NULL, 10);
}

/* Its counters run on, even if no tick came between two lives. */
static void what_earlier_lives_did_counts_for_nothing(void **state)
{
	struct vcpu vcpu = {0};

	(void)state;
	start(BALLOON_POLICY_SELFBALLOON, 0);
	add(0, 4, 16, 16);
	vms[0]->vcpus[0] = &vcpu;
	vms[0]->vcpu_count = 1;
	assert_in_range(cpu_us_of_a_tick(&vcpu, 1000), 990000, 1010000);
	assert_in_range(cpu_us_of_a_tick(&vcpu, 7), 6900, 7100);
	vms[0]->restart.count++;
	assert_int_equal(cpu_us_of_a_tick(&vcpu, 500), 0);
	assert_in_range(cpu_us_of_a_tick(&vcpu, 7), 6900, 7100);
	/* Nor if the guest was missing for a while. */
	vms[0]->stop_reason = STOP_RESET;
	policy_tick();
	vcpu.cpu_ticks += arch_tsc_hz();
	vms[0]->restart.count++;
	vms[0]->stop_reason = STOP_NONE;
	assert_int_equal(cpu_us_of_a_tick(&vcpu, 500), 0);
	vms[0]->vcpu_count = 0;
}

static void the_silent_stay_as_they_are(void **state)
{
	(void)state;
	start(BALLOON_POLICY_SELFBALLOON, 0);
	add(0, 4, 32, 32);
	add(1, 4, 32, 32);
	vms[0]->devices[PLATFORM_BALLOON_SLOT]->status = 0; /* no driver */
	for (unsigned i = 0; i < 100; i++) {
		says(0, 28, 28);
		says(1, 28, 28);
		policy_tick();
		obey(1);
	}
	assert_int_equal(target(0), 32);
	assert_in_range(target(1), 4, 8);
}

static void a_policy_is_switched_at_run_time(void **state)
{
	struct vcpu vcpu = {0};
	(void)state;

	add(0, 4, 32, 32);
	says(0, 28, 28);
	policy_tick();
	assert_int_equal(target(0), 32);
	vcpu.vm = vms[0];
	vcpu.regs[RDI] = BALLOON_CONTROL_SELFBALLOON;
	assert_int_equal(balloon_control(&vcpu), -SLUICE_EPERM);
	configs[0].privileged = true;
	assert_int_equal(balloon_control(&vcpu), BALLOON_CONTROL_STATIC);
	vcpu.regs[RDI] = BALLOON_CONTROL_POLICIES;
	assert_int_equal(balloon_control(&vcpu), -SLUICE_EINVAL);
	vcpu.regs[RDI] = BALLOON_CONTROL_ASK;
	assert_int_equal(balloon_control(&vcpu), BALLOON_CONTROL_SELFBALLOON);
	for (unsigned i = 0; i < 20; i++) {
		says(0, target(0) - 4, target(0) - 4);
		policy_tick();
		obey(0);
	}
	assert_in_range(target(0), 4, 10);
}

/* A target that another set, a test here, relief or "alternate" else, is where the plan goes on. */
static void what_others_decide_is_planned_from(void **state)
{
	(void)state;
	start(BALLOON_POLICY_SELFBALLOON, 0);
	add(0, 4, 32, 32);
	says(0, 0, 0); /* all that it has is committed */
	policy_tick();
	assert_int_equal(target(0), 32);
	balloon_set_target(vms[0], MIB(16) >> PAGE_SHIFT, "a test");
	obey(0);
	for (unsigned i = 0; i < 5; i++) {
		says(0, 0, 0);
		policy_tick();
		assert_int_equal(target(0), 16);
	}
}

static u64 size_mib(unsigned slot)
{
	struct balloon_status sample;

	assert_true(balloon_status(vms[slot], &sample));
	return sample.size_pages * PAGE_SIZE >> 20;
}

/* Its balloon says that @mib were swapped in since it began. */
static void swaps_in(unsigned slot, u64 mib)
{
	struct virtio_device *device = vms[slot]->devices[PLATFORM_BALLOON_SLOT];

	container_of(device, struct virtio_balloon, device)->stats[BALLOON_STAT_SWAP_IN] = MIB(mib);
}

/* Guest @slot takes pages out of its balloon, whatever its target, until it has @mib. */
static void take_back(unsigned slot, u64 mib)
{
	for (u64 page = size_mib(slot) << 8; page < mib << 8; page++)
		assert_int_equal(memory_deflate(vms[slot], gfn(page), 0), 0);
}

/* All that a driver took back for lack of memory: it gives again when it is told a new target. The
 * plan comes back to it, whether it wants more or less then. */
static void who_took_pages_back_is_planned_for_again(void **state)
{
	(void)state;
	for (unsigned hungry = 0; hungry < 2; hungry++) {
		u64 settled, told;

		start(BALLOON_POLICY_SELFBALLOON, 0);
		add(hungry, 4, 32, 32);
		for (unsigned i = 0; i < 60; i++) {
			says(hungry, target(hungry) - MIN(9UL, target(hungry)), 0);
			policy_tick();
			obey(hungry);
		}
		settled = told = target(hungry);
		assert_in_range(settled, 8, 12);
		take_back(hungry, settled + 6);
		for (unsigned i = 0; i < 60; i++) {
			says(hungry, settled - MIN(9UL, settled), 0);
			policy_tick();
			assert_int_equal(target(hungry), settled);
		}
		assert_false(vms[hungry]->memory.answers);
		for (unsigned i = 0; i < 300; i++) {
			says(hungry, hungry ? 0 : told - 5, 0);
			swaps_in(hungry, hungry ? i : 0);
			policy_tick();
			if (target(hungry) == told)
				continue;
			obey(hungry);
			told = target(hungry);
			take_back(hungry, told);
		}
		if (hungry)
			assert_in_range(told, settled + 6, 32);
		else
			assert_in_range(told, 4, 6);
		assert_true(vms[hungry]->memory.answers);
		vms[hungry]->stop_reason = STOP_SHUTDOWN;
	}
}

/* Nor does it pay to take back what was given, or never to give: others keep what they have. */
static void who_does_not_give_takes_nothing_from_others(void **state)
{
	(void)state;
	start(BALLOON_POLICY_SHARES, 64);
	for (unsigned slot = 0; slot < 3; slot++)
		add(slot, 8, 20, 60);
	for (unsigned i = 0; i < 410; i++) {
		for (unsigned slot = 0; slot < 3; slot++)
			says(slot, 0, 0);
		policy_tick();
		obey(0);
		obey(1);
		if (i < 10)
			obey(2);
		else
			take_back(2, 60);
	}
	for (unsigned slot = 0; slot < 2; slot++) {
		assert_in_range(target(slot), 18, 22);
		assert_in_range(size_mib(slot), 18, 22);
	}
	assert_in_range(target(2), 8, 22);
	assert_int_equal(size_mib(2), 60);
}

static void guests_come_and_go(void **state)
{
	(void)state;
	start(BALLOON_POLICY_SELFBALLOON, 0);
	add(0, 4, 16, 16);
	add(1, 4, 16, 16);
	add(2, 4, 16, 16);
	policy_tick();
	vms[0]->stop_reason = STOP_SHUTDOWN;
	add(3, 4, 16, 16);
	for (unsigned i = 0; i < 50; i++) {
		says(1, 0, 0);
		says(2, target(2) - 4, target(2) - 4);
		says(3, target(3) - 8, target(3) - 8);
		policy_tick();
		obey(2);
		obey(3);
	}
	assert_int_equal(target(0), 16);
	assert_int_equal(target(1), 16);
	assert_in_range(target(2), 4, 6);
	assert_in_range(target(3), 8, 10);
	assert_true(policy_plan_moves(vms[2]).changes >= 3);
	assert_int_equal(policy_plan_moves(vms[2]).taken_pages, (16 - target(2)) << 8);
	assert_int_equal(policy_plan_moves(vms[1]).changes, 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(plans_move_whole_blocks),
		TEST(what_moves_is_told),
		TEST(others_ticks_are_sampled),
		TEST(what_earlier_lives_did_counts_for_nothing),
		TEST(the_silent_stay_as_they_are),
		TEST(a_policy_is_switched_at_run_time),
		TEST(what_others_decide_is_planned_from),
		TEST(who_took_pages_back_is_planned_for_again),
		TEST(who_does_not_give_takes_nothing_from_others),
		TEST(guests_come_and_go),
	};

	return cmocka_run_group_tests_name("policy_plan", tests, NULL, NULL);
}
