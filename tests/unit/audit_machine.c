/*
 * See audit_machine.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit_machine.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"

struct audit_machine machine;

static struct {
	u8 *ram;
	struct frames frames;
	struct vm one, two;
} copy;

void audit_machine_build(void)
{
	mfn_t host;

	fake_core_start(RAM, 2);
	for (unsigned i = 0; i < 2; i++) {
		fake_run_as(i);
		epoch_quiescent(epoch_now());
	}
	fake_run_as(0);
	machine.one = fake_vm(0);
	machine.two = fake_vm(6);
	assert_int_equal(memory_create(machine.one, MIB(4) + KIB(16), &fake_ept), 0);
	assert_int_equal(memory_create(machine.two, MIB(2), &fake_npt), 0);
	assert_non_null(memory_page(machine.one, gfn(0)));
	assert_non_null(memory_page(machine.one, gfn(SMALL)));
	assert_non_null(memory_page(machine.one, gfn(SMALL + 1)));
	assert_non_null(memory_page(machine.two, gfn(0)));
	assert_int_equal(memory_pin(machine.one, gfn(PINNED), &host), 0);
	assert_int_equal(memory_pin(machine.one, gfn(PINNED), &host), 0);
	machine.gone = ptr_to_mfn(memory_page(machine.two, gfn(9)));
	assert_int_equal(memory_remove(machine.two, gfn(9)), 0);
	assert_int_equal(memory_remove(machine.two, gfn(10)), 0);
	assert_int_equal(memory_inflate(machine.two, gfn(IN_EARLIER_LIFE), 0), 0);
	memory_balloon_forget(machine.two);
	assert_int_equal(memory_inflate(machine.two, gfn(BALLOONED), 0), 0);
	assert_int_equal(memory_report(machine.two, gfn(REPORTED), 0), 0);
	machine.disk = frame_alloc(FRAME_DEVICE, 2, 0);
	machine.pool = frame_alloc(FRAME_TMEM, 0, 0);
	fake_store_reset(true);
	fake_store_add(mfn_to_ptr(machine.pool));
	fake_store_add(mfn_to_ptr(frame_alloc(FRAME_TMEM, 0, 0)));

	free(copy.ram);
	copy.ram = malloc(RAM);
	assert_non_null(copy.ram);
	memcpy(copy.ram, fake_ram, RAM);
	copy.frames = frames;
	copy.one = *machine.one;
	copy.two = *machine.two;
}

static void restore(void)
{
	memcpy(fake_ram, copy.ram, RAM);
	frames = copy.frames;
	*machine.one = copy.one;
	*machine.two = copy.two;
	fake_store_reset(true);
	fake_store_add(mfn_to_ptr(machine.pool));
	fake_store_add(mfn_to_ptr(mfn(machine.pool.raw + 1)));
}

struct frame *frame_behind(struct vm *vm, u64 frame)
{
	return frame_of(ptr_to_mfn(memory_page(vm, gfn(frame))));
}

u32 a_free_frame(void)
{
	return frames.heads[__builtin_ctz(frames.nonempty)];
}

static void corruption_is_found(void **state)
{
	const struct corruption *corruption = *state;
	u64 found;

	audit_machine_build();
	assert_int_equal(audit_run(), 0);
	corruption->plant();
	fake_log_reset();
	found = audit_run();
	assert_true(found > 0);
	if (!strstr(fake_log_text, corruption->report))
		fail_msg("not reported: \"%s\" in:\n%s", corruption->report, fake_log_text);
	assert_int_equal(fake_log_lines, MIN(found, AUDIT_REPORTS) + 1);
	restore();
	fake_log_reset();
	assert_int_equal(audit_run(), 0);
	memory_unpin(machine.one, gfn(PINNED));
	memory_unpin(machine.one, gfn(PINNED));
}

void audit_machine_tests(struct CMUnitTest *tests, const struct corruption *cases, u64 count)
{
	for (u64 i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){
			.name = cases[i].name,
			.test_func = corruption_is_found,
			.initial_state = (void *)&cases[i],
		};
}
