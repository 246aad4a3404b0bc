/*
 * From the manifest to a guest's client (kernel/vm/tmem_guest.c): which modes its pools get, and
 * that a guest without memory for its client leaves nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/vm/refaults.h"
#include "kernel/vm/tmem_guest.h"
#include "kernel/vm/tmem_port.h"

#define ALL_MODES (TMEM_MODE_FILLED | TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS)

static struct vm *vm;
static struct guest_config *config;

static void start(const struct tmem_machine_config *machine)
{
	fake_core_start(MIB(32), 1);
	assert_true(tmem_start(machine));
	assert_non_null(tmem_store);
	vm = fake_vm(0);
	config = (struct guest_config *)vm->config;
	*config = (struct guest_config){.name = "web",
		.tmem = true,
		.tmem_share = 100,
		.memory_max = MIB(16),
		.preswap_max = ~0UL,
		.tmem_zero_pages = TMEM_OF_MACHINE,
		.tmem_dedup = TMEM_OF_MACHINE,
		.tmem_compress = TMEM_OF_MACHINE};
}

static void finish(void)
{
	while (tmem_guest_destroy(vm) == -SLUICE_EAGAIN)
		;
	tmem_destroy(tmem_store);
	tmem_store = NULL;
	assert_int_equal(frames_of_class(FRAME_TMEM), 0);
}

/* The modes of the guest's ephemeral and persistent pools, the latter in the upper half. */
static unsigned modes(void)
{
	struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];
	unsigned found;

	assert_int_equal(tmem_guest_create(vm), 0);
	assert_int_equal(tmem_pool_create(vm->tmem, 0, 0, 0), 0);
	assert_int_equal(tmem_pool_create(vm->tmem, TMEM_POOL_PERSISTENT, 0, 0), 1);
	assert_int_equal(tmem_client_list(vm->tmem, infos), 2);
	found = infos[0].modes | infos[1].modes << 4;
	while (tmem_guest_destroy(vm) == -SLUICE_EAGAIN)
		;
	return found;
}

static void guest_that_says_nothing_has_what_the_machine_has(void **state)
{
	(void)state;
	start(&(struct tmem_machine_config){.enabled = true});
	assert_int_equal(modes(), 0);
	finish();
	start(&(struct tmem_machine_config){.enabled = true,
		.zero_pages = true,
		.dedup = TMEM_OF_PRESWAP,
		.compress = TMEM_OF_ALL});
	assert_int_equal(modes(), (TMEM_MODE_FILLED | TMEM_MODE_COMPRESS) | ALL_MODES << 4);
	finish();
}

static void guest_switches_for_itself(void **state)
{
	(void)state;
	start(&(struct tmem_machine_config){.enabled = true,
		.zero_pages = true,
		.dedup = TMEM_OF_ALL,
		.compress = TMEM_OF_PRECACHE});
	config->tmem_zero_pages = TMEM_OF_PRESWAP;
	assert_int_equal(modes(),
		(TMEM_MODE_DEDUP | TMEM_MODE_COMPRESS) | (TMEM_MODE_FILLED | TMEM_MODE_DEDUP) << 4);
	config->tmem_dedup = 0;
	config->tmem_compress = TMEM_OF_PRESWAP;
	assert_int_equal(modes(), (TMEM_MODE_FILLED | TMEM_MODE_COMPRESS) << 4);
	config->tmem_zero_pages = config->tmem_compress = 0;
	assert_int_equal(modes(), 0);
	/* A group has no effect then, and the log says so. */
	strcpy(config->dedup_group, "web");
	config->dedup_group_number = 1;
	fake_log_reset();
	assert_int_equal(modes(), 0);
	assert_non_null(strstr(fake_log_text, "dedup_group \"web\" has no effect"));
	finish();
}

/* On a machine that starts without modes, the first guest that has some brings what they need. */
static void guest_alone_has_modes(void **state)
{
	static u64 page[PAGE_SIZE / 8] __aligned_to(PAGE_SIZE);
	struct tmem_handle handle = {.pool = 0};

	(void)state;
	start(&(struct tmem_machine_config){.enabled = true});
	config->tmem_compress = TMEM_OF_ALL;
	assert_int_equal(tmem_guest_create(vm), 0);
	assert_int_equal(tmem_pool_create(vm->tmem, TMEM_POOL_PERSISTENT, 0, 0), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(page); i++)
		page[i] = i;
	assert_int_equal(tmem_put(vm->tmem, &handle, page), 0);
	memset(page, 0, sizeof(page));
	assert_int_equal(tmem_get(vm->tmem, &handle, page), 0);
	assert_int_equal(page[511], 511);
	finish();
}

/* ---- No memory ----------------------------------------------------------------------- */

static void *hoard[16384];

/* With room for @pages more. */
static unsigned take_all_but(unsigned pages)
{
	unsigned count = 0;

	while (count < ARRAY_SIZE(hoard) && (hoard[count] = hypervisor_alloc(0)))
		count++;
	assert_true(count < ARRAY_SIZE(hoard) && count > pages);
	while (pages--)
		hypervisor_free(hoard[--count], 0);
	return count;
}

static void guest_without_memory_leaves_nothing(void **state)
{
	unsigned made = 0, refused = 0;

	(void)state;
	start(&(struct tmem_machine_config){.enabled = true,
		.zero_pages = true,
		.dedup = TMEM_OF_ALL,
		.compress = TMEM_OF_ALL});
	config->dedup_group_number = 1;
	for (unsigned pages = 0; pages < 560; pages++) {
		unsigned count = take_all_but(pages);
		u64 before = frames_of_class(FRAME_HYPERVISOR), tmem = frames_of_class(FRAME_TMEM);
		int result = tmem_guest_create(vm);

		assert_true(result == 0 || result == -SLUICE_ENOMEM);
		made += result == 0;
		refused += result != 0;
		if (result) {
			assert_null(vm->tmem);
			assert_null(vm->refaults);
			assert_int_equal(frames_of_class(FRAME_HYPERVISOR), before);
			/* Structures of clients and groups stay for the next one. */
			assert_in_range(frames_of_class(FRAME_TMEM), tmem, tmem + 2);
		}
		while (tmem_guest_destroy(vm) == -SLUICE_EAGAIN)
			;
		while (count)
			hypervisor_free(hoard[--count], 0);
	}
	assert_true(made > 0 && refused > 3);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_that_says_nothing_has_what_the_machine_has),
		cmocka_unit_test(guest_switches_for_itself),
		cmocka_unit_test(guest_alone_has_modes),
		cmocka_unit_test(guest_without_memory_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
