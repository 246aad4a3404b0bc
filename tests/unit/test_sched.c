/*
 * Run queues: what a vCPU is said to have waited, and that it is so where the processor that woke
 * it has another time than the one that runs it; and that a guest pays for what its devices do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/vm/sched.h"

static const struct guest_config config = {.weight = 100};
static struct vcpu vcpu, other;

static int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(8), 2);
	sched_init();
	vcpu = (struct vcpu){.vm = fake_vm(0), .state = VCPU_WAIT_SIPI};
	vcpu.vm->config = &config;
	other = (struct vcpu){.state = VCPU_WAIT_SIPI};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sched_stop(&vcpu);
	sched_stop(&other);
	fake_vms_reset();
	return 0;
}

static void what_it_waits_is_counted(void **state)
{
	u64 waited;

	(void)state;
	sched_start(&vcpu);
	fake_tsc += 5000;
	assert_ptr_equal(sched_pick(), &vcpu);
	assert_in_range(vcpu.waited_ticks, 5000, 5010);
	/* What it runs is not; what it waits for the next turn is added. */
	fake_tsc += 100000;
	sched_put(&vcpu, 100000);
	fake_tsc += 300;
	waited = vcpu.waited_ticks;
	assert_ptr_equal(sched_pick(), &vcpu);
	assert_in_range(vcpu.waited_ticks, waited + 300, waited + 310);
	/* Nor is what it sleeps. */
	waited = vcpu.waited_ticks;
	vcpu.blocking = true;
	sched_put(&vcpu, 0);
	fake_tsc += 100000;
	assert_null(sched_pick());
	vcpu_wake(&vcpu);
	assert_ptr_equal(sched_pick(), &vcpu);
	assert_in_range(vcpu.waited_ticks, waited, waited + 10);
}

/* The TSC of the waker is ahead of the one of the vCPU's processor. */
static void a_time_to_come_is_no_wait(void **state)
{
	u64 waited;

	(void)state;
	fake_tsc += 1000000;
	sched_start(&vcpu);
	fake_tsc -= 1000000;
	assert_ptr_equal(sched_pick(), &vcpu);
	assert_int_equal(vcpu.waited_ticks, 0);
	sched_put(&vcpu, 0);
	fake_tsc += 700;
	assert_ptr_equal(sched_pick(), &vcpu);
	waited = vcpu.waited_ticks;
	assert_in_range(waited, 700, 710);
	vcpu.blocking = true;
	sched_put(&vcpu, 0);
	fake_tsc += 1000000;
	vcpu_wake(&vcpu);
	fake_tsc -= 1000000;
	assert_ptr_equal(sched_pick(), &vcpu);
	assert_int_equal(vcpu.waited_ticks, waited);
}

/* ---- What is done for a guest outside of its turns ---------------------------------------------
 */

/* Both runnable on CPU 0, @vcpu of one guest and @other of another. */
static void two_guests(void)
{
	vcpu.vm->vcpus[0] = &vcpu;
	other = (struct vcpu){.vm = fake_vm(1), .state = VCPU_WAIT_SIPI};
	other.vm->config = &config;
	other.vm->vcpus[0] = &other;
	vcpu.vm->vcpu_count = other.vm->vcpu_count = 1;
	sched_start(&vcpu);
	sched_start(&other);
}

/* How many of @turns turns of @ticks each are those of @vcpu. */
static unsigned turns_of_it(unsigned turns, u64 ticks)
{
	unsigned its = 0;

	for (unsigned i = 0; i < turns; i++) {
		struct vcpu *next = sched_pick();

		assert_non_null(next);
		its += next == &vcpu;
		sched_put(next, ticks);
	}
	return its;
}

static void a_guest_pays_for_its_devices(void **state)
{
	u64 waited;

	(void)state;
	two_guests();
	assert_int_equal(turns_of_it(20, 1000000), 10);
	/* As much as ten turns while it waits for one: it gets none until the other had as many. */
	waited = vcpu.ready_since;
	sched_charge(vcpu.vm, 10000000);
	assert_int_equal(vcpu.ready_since, waited);
	assert_int_equal(vcpu.state, VCPU_RUNNABLE);
	assert_in_range(turns_of_it(10, 1000000), 0, 1);
	assert_in_range(turns_of_it(20, 1000000), 9, 11);
	/* Each time before it runs: half of the time is its and its devices', a quarter its own. */
	for (unsigned i = 0; i < 40; i++) {
		struct vcpu *next = sched_pick();

		sched_put(next, 1000000);
		if (next == &vcpu)
			sched_charge(vcpu.vm, 1000000);
	}
	assert_in_range(
		vcpu.virtual_time, other.virtual_time - 3000000, other.virtual_time + 3000000);
}

/* Asleep it owes what its devices took, and an INIT does not pay. */
static void sleep_is_no_way_out(void **state)
{
	(void)state;
	two_guests();
	assert_int_equal(turns_of_it(2, 1000000), 1);
	assert_ptr_equal(sched_pick(), &vcpu);
	vcpu.blocking = true;
	sched_put(&vcpu, 0);
	sched_charge(vcpu.vm, 20000000);
	assert_int_equal(vcpu.state, VCPU_BLOCKED);
	vcpu_wake(&vcpu);
	assert_in_range(turns_of_it(20, 1000000), 0, 1);
	sched_charge(vcpu.vm, 20000000);
	vcpu_wait_for_sipi(&vcpu);
	sched_start(&vcpu);
	assert_in_range(turns_of_it(20, 1000000), 0, 1);
}

/* What nobody else wanted is owed to nobody. */
static void an_idle_cpu_is_free(void **state)
{
	(void)state;
	two_guests();
	for (unsigned i = 0; i < 2; i++) {
		struct vcpu *next = sched_pick();

		next->blocking = true;
		sched_put(next, 1000000);
	}
	sched_charge(vcpu.vm, 1000000000);
	vcpu_wake(&vcpu);
	vcpu_wake(&other);
	assert_in_range(turns_of_it(20, 1000000), 8, 12);
}

/* Turns of all vCPUs, and what was done for the guest wherever and whoever wanted that time. */
static void what_is_charged_is_cpu_time(void **state)
{
	(void)state;
	two_guests();
	vcpu.vm->vcpus[1] = &other;
	other.vm = vcpu.vm;
	vcpu.vm->vcpu_count = 2;
	assert_int_equal(sched_cpu_ticks(vcpu.vm), 0);
	turns_of_it(5, 1000);
	assert_int_equal(sched_cpu_ticks(vcpu.vm), 5000);
	sched_charge(vcpu.vm, 70);
	fake_run_as(1);
	sched_charge(vcpu.vm, 300);
	fake_run_as(0);
	assert_int_equal(sched_cpu_ticks(vcpu.vm), 5370);
	/* Whose disk works while it sleeps has used that time as well. */
	for (unsigned i = 0; i < 2; i++) {
		struct vcpu *next = sched_pick();

		next->blocking = true;
		sched_put(next, 0);
	}
	sched_charge(vcpu.vm, 4000);
	assert_int_equal(sched_cpu_ticks(vcpu.vm), 9370);
}

/* None of its vCPUs lives here: nobody pays. */
static void devices_of_a_guest_from_elsewhere(void **state)
{
	u64 before;

	(void)state;
	two_guests();
	before = vcpu.virtual_time;
	fake_run_as(1);
	sched_charge(vcpu.vm, 1000000);
	fake_run_as(0);
	assert_int_equal(vcpu.virtual_time, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_it_waits_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_time_to_come_is_no_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(a_guest_pays_for_its_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(sleep_is_no_way_out, setup, teardown),
		cmocka_unit_test_setup_teardown(an_idle_cpu_is_free, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_charged_is_cpu_time, setup, teardown),
		cmocka_unit_test_setup_teardown(devices_of_a_guest_from_elsewhere, setup, teardown),
	};

	return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
