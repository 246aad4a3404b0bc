/*
 * Between the tmem engine and the ghosts: sampled operations are told, for as long as the guest's
 * ghosts are there, and without memory there are none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/vm/refaults.h"
#include "tmem/port.h"

static const struct guest_config config = {.name = "one", .memory_max = MIB(64)};
static struct vm *vm;

static int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(16), 1);
	vm = fake_vm(0);
	vm->config = &config;
	vm->memory.ram_pages = MIB(64) / PAGE_SIZE;
	return 0;
}

static void tell(enum tmem_event event, u64 hash, u64 puts, u64 gets)
{
	const struct tmem_sample sample = {.hash = hash, .puts = puts, .gets = gets};

	tmem_port_sampled(vm, event, &sample);
}

/* How many refaults of whatever distance were counted. */
static u64 refaults(void)
{
	u64 sum = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(vm->refaults->ghosts.found); i++)
		sum += vm->refaults->ghosts.found[i];
	return sum;
}

static void what_is_sampled_becomes_a_ghost(void **state)
{
	u64 before;
	(void)state;

	assert_int_equal(refaults_threshold(vm), 0);
	assert_int_equal(refaults_create(vm), 0);
	assert_true(refaults_threshold(vm) > 0);
	before = refaults();
	for (u64 i = 1; i <= 8; i++)
		tell(TMEM_EVENT_PUT, i * 0x1234567, i * 100, 0);
	assert_int_equal(refaults(), before);
	tell(TMEM_EVENT_GET, 3 * 0x1234567, 800, 1);
	assert_true(refaults() > before);
	before = refaults();
	/* Flushed, it is forgotten. */
	tell(TMEM_EVENT_FLUSH, 4 * 0x1234567, 800, 1);
	tell(TMEM_EVENT_GET, 4 * 0x1234567, 800, 2);
	assert_int_equal(refaults(), before);
	assert_int_equal(vm->refaults->told, 11);
	refaults_destroy(vm);
	assert_null(vm->refaults);
	refaults_destroy(vm);
}

static void without_memory_there_are_none(void **state)
{
	static mfn_t taken[MIB(16) / PAGE_SIZE];
	unsigned count = 0;
	(void)state;

	while (!mfn_is_none(taken[count] = frame_alloc(FRAME_DEVICE, 0, 0)))
		count++;
	assert_int_equal(refaults_create(vm), -SLUICE_ENOMEM);
	assert_null(vm->refaults);
	while (count)
		frame_free(taken[--count], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_sampled_becomes_a_ghost, setup),
		cmocka_unit_test_setup(without_memory_there_are_none, setup),
	};

	return cmocka_run_group_tests_name("refaults", tests, NULL, NULL);
}
