/*
 * After which ends a guest is started again and when, what the operator can say to it, and how its
 * next life is loaded: in steps, and from where it was if no frame was to be had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "arch/x86/guest/image.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/restart.h"

#define SECONDS(n) ((n)*arch_tsc_hz())

static struct guest_config config;
static struct vm *vm;
static struct guest_image *image;
static struct vcpu vcpu;
static unsigned uncommitted;

void vm_uncommit(struct vm *of)
{
	assert_ptr_equal(of, vm);
	uncommitted++;
	vm->committed = false;
}

static int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(16), 1);
	vm = fake_vm(0);
	vm->config = &config;
	config = (struct guest_config){.name = "web", .restart = RESTART_ALWAYS};
	image = calloc(1, sizeof(*image));
	vm->image = image;
	vcpu = (struct vcpu){.vm = vm};
	vm->vcpus[0] = &vcpu;
	vm->vcpu_count = 1;
	vm->committed = true;
	uncommitted = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(image);
	return 0;
}

/* A life of @seconds that ends like that; when the next one begins, in TSC ticks from its end, or
 * ~0. */
static u64 live(u64 seconds, enum stop_reason reason, u64 code)
{
	vm->stop_reason = STOP_NONE;
	vm->started = true;
	vm->dismantled = vm->reaped = false;
	vm->restart.at = 0;
	vm->started_at = fake_tsc;
	fake_tsc += SECONDS(seconds);
	vm->stopped_at = fake_tsc;
	vm->stop_reason = reason;
	vm->stop_code = code;
	restart_decide(vm);
	vm->dismantled = vm->reaped = true;
	return vm->restart.at ? vm->restart.at - vm->stopped_at : ~0UL;
}

static bool comes_back(u8 restart, enum stop_reason reason, u64 code)
{
	config.restart = restart;
	vm->restart = (struct vm_restart){0};
	return live(60, reason, code) != ~0UL;
}

static void the_manifest_says_after_which_ends(void **state)
{
	static const struct {
		enum stop_reason reason;
		u64 code;
		u8 from; /* enum manifest_restart; above all: never */
	} ends[] = {
		{STOP_RESET, 0xfe, RESTART_REBOOT},
		{STOP_TRIPLE_FAULT, 0, RESTART_REBOOT},
		{STOP_BAD_ACCESS, 0, RESTART_FAILURE},
		{STOP_NO_MEMORY, 0, RESTART_FAILURE},
		{STOP_UNHANDLED_EXIT, 0, RESTART_FAILURE},
		{STOP_ENTRY_FAILED, 0, RESTART_FAILURE},
		{STOP_ALL_HALTED, 0, RESTART_FAILURE},
		{STOP_TIME_LIMIT, 0, RESTART_FAILURE},
		{STOP_DEVICE, 0, RESTART_FAILURE},
		{STOP_NOT_STARTED, 0, RESTART_FAILURE},
		{STOP_SHUTDOWN, 7, RESTART_FAILURE},
		{STOP_SHUTDOWN, 0, RESTART_ALWAYS},
		{STOP_POWER_OFF, 0, RESTART_ALWAYS},
		{STOP_OPERATOR, 0, RESTART_ALWAYS + 1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++)
		for (u8 restart = RESTART_NEVER; restart <= RESTART_ALWAYS; restart++)
			assert_int_equal(comes_back(restart, ends[i].reason, ends[i].code),
				restart >= ends[i].from);
	/* Nothing was kept of it. */
	vm->image = NULL;
	assert_false(comes_back(RESTART_ALWAYS, STOP_RESET, 0));
}

static void who_ends_soon_again_and_again_waits_longer_each_time(void **state)
{
	static const u64 waits[] = {0, 1, 2, 4, 8, 16, 32, 64, 64, 64};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(waits); i++)
		assert_in_range(live(2, STOP_RESET, 0), SECONDS(waits[i]),
			SECONDS(waits[i]) + SECONDS(1) / 2);
	assert_non_null(strstr(fake_log_text,
		"guest \"web\": ended 3 times in a row within 10 s: restarts in 2 s"));
	assert_false(restart_is_due(vm));
	fake_tsc += SECONDS(63);
	assert_false(restart_is_due(vm));
	fake_tsc += SECONDS(1);
	assert_true(restart_is_due(vm));
	/* Not before all of the life before is given back. */
	vm->reaped = false;
	assert_false(restart_is_due(vm));
	/* One long life makes up for all of them. */
	assert_in_range(live(11, STOP_RESET, 0), 0, SECONDS(1) / 2);
	assert_in_range(live(2, STOP_RESET, 0), 0, SECONDS(1) / 2);
	assert_in_range(live(2, STOP_RESET, 0), SECONDS(1), SECONDS(3) / 2);
	/* A life that never came as far as to run is a short one. */
	vm->stopped_at = vm->started_at + SECONDS(100);
	vm->started = false;
	restart_decide(vm);
	assert_in_range(vm->restart.at - fake_tsc, SECONDS(3) / 2, SECONDS(2));
}

static void the_operator_has_the_last_word(void **state)
{
	(void)state;
	/* Asked to shut down it stays off; what else ends it is no shutdown. */
	vm->restart.stays_off = true;
	assert_int_equal(live(60, STOP_POWER_OFF, 0), ~0UL);
	assert_int_equal(live(60, STOP_SHUTDOWN, 0), ~0UL);
	assert_int_not_equal(live(60, STOP_RESET, 0), ~0UL);
	restart_begins(vm);
	assert_int_equal(vm->restart.count, 1);
	assert_int_not_equal(live(60, STOP_POWER_OFF, 0), ~0UL);

	/* Started when it has ended, at once. */
	assert_int_equal(live(60, STOP_OPERATOR, 0), ~0UL);
	assert_false(restart_cancel(vm));
	restart_order(vm);
	assert_true(restart_is_due(vm));
	/* And not, after all: what was promised to it is nobody's. */
	assert_true(restart_cancel(vm));
	assert_false(restart_is_due(vm));
	assert_int_equal(uncommitted, 1);

	/* Started while it still is given back, and restarted while it runs. */
	live(60, STOP_OPERATOR, 0);
	vm->dismantled = vm->reaped = false;
	restart_order(vm);
	assert_int_equal(vm->restart.at, 0);
	restart_decide(vm);
	assert_int_not_equal(vm->restart.at, 0);
	restart_begins(vm);
	vm->stop_reason = STOP_NONE;
	restart_order(vm);
	assert_int_equal(vm->stop_reason, STOP_OPERATOR);
	restart_decide(vm);
	assert_int_not_equal(vm->restart.at, 0);

	/* No wait that others made necessary. */
	restart_begins(vm);
	for (unsigned i = 0; i < 5; i++)
		live(1, STOP_RESET, 0);
	assert_false(restart_is_due(vm));
	restart_order(vm);
	assert_true(restart_is_due(vm));
	restart_begins(vm);
	assert_in_range(live(1, STOP_RESET, 0), 0, SECONDS(1) / 2);
}

/* Everything that it is loaded from, as pvh.c would have kept it. */
static u8 bytes[MIB(2)];

static void prepare_image(void)
{
	for (u64 i = 0; i < sizeof(bytes); i++)
		bytes[i] = (u8)(i * 7 + i / 256);
	image->pieces[0] = (struct image_piece){bytes, MIB(1) + 100, KIB(700)};
	image->pieces[1] = (struct image_piece){bytes, MIB(2), 0}; /* .bss */
	image->pieces[2] = (struct image_piece){bytes + KIB(700), MIB(3) + 1, KIB(600) + 3};
	image->count = 3;
	image->entry = 0x100064;
	image->start_info = 0xe1000;
	image_begin(image);
}

static void check_loaded(void)
{
	for (unsigned i = 0; i < image->count; i++) {
		const struct image_piece *piece = &image->pieces[i];
		u8 *read = malloc(piece->bytes + 1);

		assert_int_equal(memory_read(vm, gpa(piece->to), read, piece->bytes), 0);
		assert_memory_equal(read, piece->from, piece->bytes);
		free(read);
	}
	assert_int_equal(vcpu.start.kind, START_PVH);
	assert_int_equal(vcpu.start.entry, 0x100064);
	assert_int_equal(vcpu.start.start_info, 0xe1000);
	assert_true(vcpu.requests & VCPU_REQ_START);
}

static void a_life_is_loaded_in_steps(void **state)
{
	unsigned steps = 1;

	(void)state;
	assert_int_equal(memory_create(vm, MIB(4), &fake_ept), 0);
	prepare_image();
	while (image_load(vm) == -SLUICE_EAGAIN) {
		assert_int_equal(vcpu.start.kind, START_NONE);
		assert_true(vm->memory.populated_pages <= 2048);
		steps++;
	}
	assert_int_equal(steps, 3); /* of 512 KiB */
	check_loaded();
}

static void it_goes_on_where_it_lacked_a_frame(void **state)
{
	mfn_t taken[MIB(16) / PAGE_SIZE];
	unsigned count = 0, lacked = 0;
	int error;

	(void)state;
	assert_int_equal(memory_create(vm, MIB(4), &fake_ept), 0);
	prepare_image();
	while (!mfn_is_none(taken[count] = frame_alloc(FRAME_DEVICE, 0, 0)))
		count++;
	while ((error = image_load(vm)) != 0) {
		if (error == -SLUICE_EAGAIN)
			continue;
		assert_int_equal(error, -SLUICE_ENOMEM);
		assert_int_equal(vcpu.start.kind, START_NONE);
		lacked++;
		for (unsigned i = 0; i < 16 && count > 0; i++)
			frame_free(taken[--count], 0);
	}
	assert_true(lacked > 10);
	check_loaded();
	while (count > 0)
		frame_free(taken[--count], 0);
}

/* The last one: it cannot be taken back. */
static void when_the_machine_ends_nothing_comes_back(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		live(1, STOP_RESET, 0);
	assert_int_not_equal(vm->restart.at, 0);
	restart_no_more();
	assert_int_equal(vm->restart.at, 0);
	assert_int_equal(uncommitted, 1);
	restart_order(vm);
	assert_int_equal(vm->restart.at, 0);
	assert_int_equal(live(60, STOP_RESET, 0), ~0UL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_manifest_says_after_which_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(
			who_ends_soon_again_and_again_waits_longer_each_time, setup, teardown),
		cmocka_unit_test_setup_teardown(the_operator_has_the_last_word, setup, teardown),
		cmocka_unit_test_setup_teardown(a_life_is_loaded_in_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(
			it_goes_on_where_it_lacked_a_frame, setup, teardown),
		cmocka_unit_test_setup_teardown(
			when_the_machine_ends_nothing_comes_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
