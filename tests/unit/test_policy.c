/*
 * The glue of the balloon policies: sizes at start, the policy for tests, and the rule that who
 * lacks what he was promised gets it from whoever has most above his own promise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/engine.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/policy.h"
#include "kernel/policy_plan.h"
#include "kernel/policy_record.h"
#include "kernel/virtio/balloon_state.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/balloon_control.h"
#include "kernel/vm/tmem_port.h"

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

/* With @memory MiB for guests and pool together; 0: all there is. */
static void start(u8 policy, u64 memory)
{
	balloon = (struct balloon_config){
		.policy = policy, .memory = MIB(memory), .tick_ms = 50, .wait_memory_s = 30};
	assert_true(policy_start(&balloon, tmem_store != NULL));
}

static int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(128), 1);
	epoch_quiescent(epoch_now());
	memset(vms, 0, sizeof(vms));
	start(BALLOON_POLICY_STATIC, 0);
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
	struct balloon_status sample;

	assert_true(balloon_status(vms[slot], &sample));
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
	struct policy_cost before = policy_cost(), after;

	(void)state;
	assert_int_equal(policy_tick(), 50000);
	assert_int_equal(policy_tick(), 50000);
	after = policy_cost();
	assert_int_equal(after.ticks, before.ticks + 2);
	assert_true(after.tsc_ticks > before.tsc_ticks);
	assert_true(after.longest > 0 && after.longest <= after.tsc_ticks);
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

	start(BALLOON_POLICY_ALTERNATE, 0);
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
	vms[slot]->memory.is_short = true;
	vms[slot]->memory.short_since = vms[slot]->memory.short_last = arch_tsc();
}

/* The driver of guest @slot gives what it was asked for, from the end of RAM down. */
static void obey(unsigned slot)
{
	struct vm *vm = vms[slot];
	struct balloon_status sample;

	for (;;) {
		assert_true(balloon_status(vm, &sample));
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

/* A driver that gives a page now and then, statistics and all, is asked for more, then left aside.
 */
static void who_gives_drop_by_drop_does_not_listen(void **state)
{
	struct balloon_status hog;
	u64 given = 0;
	(void)state;

	add(0, 8, 32, 32);
	add(1, 16, 16, 16);
	for (unsigned i = 0; i < 200; i++) {
		lacks_a_frame(1);
		policy_tick();
		if (i % 45 == 44)
			assert_int_equal(memory_inflate(vms[0], gfn(8191 - given++), 0), 0);
		if (i < 45)
			assert_true(balloon_status(vms[0], &hog) && hog.responsive);
	}
	assert_true(balloon_status(vms[0], &hog));
	assert_false(hog.responsive || vms[0]->memory.answers);
	assert_in_range(target(0), 8, 20);
	/* All that it holds above its minimum is what others have a claim to. */
	vms[0]->memory.populated_pages += 5000;
	assert_int_equal(memory_keeps(vms[0]), 5000 - vms[0]->entitled_pages);
	vms[0]->memory.populated_pages -= 5000;
}

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

static void with_store(unsigned slot, u32 share)
{
	vms[slot]->tmem = fake_engine_client(share, ~0UL, 0);
	configs[slot].tmem_share = share;
}

static u64 weight_of(unsigned slot)
{
	struct tmem_guest_info info;

	tmem_client_info(vms[slot]->tmem, &info);
	return info.weight;
}

static void leave_store(unsigned slot)
{
	fake_engine_end_client(vms[slot]->tmem);
	vms[slot]->tmem = NULL;
}

static void shares_of_the_pool_follow_the_plan(void **state)
{
	(void)state;

	fake_engine_start(0);
	start(BALLOON_POLICY_SHARES, 0);
	add(0, 4, 16, 16);
	add(1, 4, 16, 16);
	configs[0].priority = 300;
	configs[1].priority = 100;
	with_store(0, 5);
	with_store(1, 7);
	policy_tick();
	assert_int_equal(weight_of(0), 65535);
	assert_in_range(weight_of(1), 65535 / 3 - 20, 65535 / 3 + 20);
	/* Under static the manifest's count again. */
	balloon_control_set(BALLOON_CONTROL_STATIC);
	policy_tick();
	assert_int_equal(weight_of(0), 5);
	assert_int_equal(weight_of(1), 7);
	leave_store(0);
	leave_store(1);
	fake_engine_end();
}

/* Data pages; @missing may be, for metadata or in blocks. */
static void pool_has(u64 mib, u64 missing)
{
	struct tmem_stats stats;

	tmem_stats(tmem_store, &stats);
	assert_in_range(stats.frames, (MIB(mib) >> PAGE_SHIFT) - missing, MIB(mib) >> PAGE_SHIFT);
}

/* A guest of 16 to 32 MiB, where there are 40 with the pool, which may have @max_pages (0: all). */
static void start_beside_pool(u64 max_pages)
{
	fake_engine_start(max_pages);
	start(BALLOON_POLICY_STATIC, 40);
	add(0, 4, 16, 32);
	obey(0);
	with_store(0, 100);
	policy_tick();
	assert_int_equal(tmem_pool_create(vms[0]->tmem, 0, 0, 0), 0);
}

static void put_pages(u32 count)
{
	static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	struct tmem_handle handle = {.object = {1}};

	for (; handle.index < count; handle.index++)
		assert_int_equal(tmem_put(vms[0]->tmem, &handle, page), 0);
}

static void guests_and_pool_share_what_the_manifest_gives(void **state)
{
	(void)state;

	start_beside_pool(0);
	put_pages(10000);
	pool_has(24, 64);
	/* The guest grows: what the pool has too much is taken from it. */
	balloon_set_target(vms[0], MIB(32) >> PAGE_SHIFT, "a test");
	for (unsigned mib = 16; mib >= 8; mib -= 8) {
		policy_tick();
		pool_has(mib, 64);
	}
	policy_tick();
	pool_has(8, 64);
	/* A little is always the pool's. */
	balloon.memory = MIB(30);
	memory_set_together(MIB(30) >> PAGE_SHIFT);
	policy_tick();
	pool_has(1, 64);
	put_pages(1000);
	pool_has(1, 64);
	assert_int_equal(audit_run(), 0);
	leave_store(0);
	fake_engine_end();
}

/* What the guests leave is more than pool_max: that holds. */
static void the_pool_keeps_to_its_own_limit(void **state)
{
	(void)state;

	start_beside_pool(MIB(4) >> PAGE_SHIFT);
	put_pages(3000);
	pool_has(4, MIB(1) >> PAGE_SHIFT);
	leave_store(0);
	fake_engine_end();
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
		TEST(who_gives_drop_by_drop_does_not_listen),
		TEST(plans_move_whole_blocks),
		TEST(what_moves_is_told),
		TEST(others_ticks_are_sampled),
		TEST(the_silent_stay_as_they_are),
		TEST(a_policy_is_switched_at_run_time),
		TEST(what_others_decide_is_planned_from),
		TEST(who_took_pages_back_is_planned_for_again),
		TEST(who_does_not_give_takes_nothing_from_others),
		TEST(guests_come_and_go),
		TEST(shares_of_the_pool_follow_the_plan),
		TEST(guests_and_pool_share_what_the_manifest_gives),
		TEST(the_pool_keeps_to_its_own_limit),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
