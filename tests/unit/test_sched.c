/*
 * Run queues: what a vCPU is said to have waited, and that it is so where the processor that woke
 * it has another time than the one that runs it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/vm/sched.h"

static const struct guest_config config = {.weight = 100};
static struct vcpu vcpu;

static int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(8), 2);
	sched_init();
	vcpu = (struct vcpu){.vm = fake_vm(0), .state = VCPU_WAIT_SIPI};
	vcpu.vm->config = &config;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_it_waits_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_time_to_come_is_no_wait, setup, teardown),
	};

	return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
