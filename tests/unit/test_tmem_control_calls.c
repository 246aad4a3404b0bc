/*
 * The control calls of tmem (kernel/vm/tmem_control.c) between guests with memory and the real
 * engine: who may call, for whom, with which addresses; what a caller gets when a guest has ended
 * or memory is short; and that nobody floods the log. Bugs that other implementations had are
 * named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "fake/engine.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/tmem_control.h"
#include "kernel/vm/tmem_port.h"
#include "tmem/port.h"

#define GUESTS 3U
#define GUEST  MIB(4)
#define WARDEN 0U /* the privileged one */
#define KEEPER 1U /* with tmem */
#define OTHER  2U /* with tmem; not privileged either */
#define NOBODY (VMS_MAX - 1U)

/* Where the warden keeps what it passes. */
#define STATE  0x1000UL
#define BUFFER 0x10000UL
#define LENGTH 0x20000UL

static struct vm *vms[GUESTS];
static struct vcpu vcpus[GUESTS];
static const struct nested_layout *const layouts[] = {&fake_ept, &fake_npt};

static struct guest_config *config_of(unsigned i)
{
	return (struct guest_config *)vms[i]->config;
}

static void create_guest(unsigned i)
{
	vms[i] = fake_vm(i);
	*config_of(i) = (struct guest_config){.privileged = i == WARDEN};
	strcpy(config_of(i)->name, i == WARDEN ? "warden" : i == KEEPER ? "keeper" : "other");
	assert_int_equal(memory_create(vms[i], GUEST, layouts[i % 2]), 0);
	vcpus[i] = (struct vcpu){.vm = vms[i]};
	vms[i]->vcpus[0] = &vcpus[i];
	vms[i]->vcpu_count = 1;
	if (i != WARDEN)
		vms[i]->tmem = fake_engine_client(256, 1000, 0);
}

static void start(void)
{
	fake_engine_machine(MIB(64), 1);
	for (unsigned i = 0; i < GUESTS; i++)
		create_guest(i);
	assert_int_equal(tmem_pool_create(vms[KEEPER]->tmem, TMEM_POOL_PERSISTENT, 5, 6), 0);
	assert_int_equal(tmem_pool_create(vms[KEEPER]->tmem, 0, 0, 0), 1);
}

static void finish(void)
{
	assert_int_equal(audit_run(), 0);
	for (unsigned i = 0; i < GUESTS; i++) {
		assert_int_equal(vms[i]->tmem_users, 0);
		assert_true(tmem_control_end(vms[i]));
		if (vms[i]->tmem)
			fake_engine_end_client(vms[i]->tmem);
		vms[i]->tmem = NULL;
		memory_destroy(vms[i]);
	}
	fake_limbo_empty();
	fake_engine_end();
	assert_int_equal(frames_of_class(FRAME_GUEST), 0);
}

static s64 call_as(unsigned who, u64 number, u64 guest, u64 a, u64 b, u64 c)
{
	u64 *regs = vcpus[who].regs;

	regs[RDI] = guest;
	regs[RSI] = a;
	regs[RDX] = b;
	regs[R10] = c;
	return tmem_control(&vcpus[who], number);
}

static s64 call(u64 number, u64 guest, u64 a, u64 b, u64 c)
{
	return call_as(WARDEN, number, guest, a, b, c);
}

static void write_warden(u64 address, const void *from, u64 bytes)
{
	assert_int_equal(memory_write(vms[WARDEN], gpa(address), from, bytes), 0);
}

static void read_warden(u64 address, void *to, u64 bytes)
{
	assert_int_equal(memory_read(vms[WARDEN], gpa(address), to, bytes), 0);
}

static void put(unsigned i, u32 index, u64 word)
{
	static u64 page[PAGE_SIZE / 8] __aligned_to(PAGE_SIZE);
	struct tmem_handle handle = {.object = {1, 2, 3}, .index = index, .pool = 0};

	for (unsigned k = 0; k < ARRAY_SIZE(page); k++)
		page[k] = word + k;
	assert_int_equal(tmem_put(vms[i]->tmem, &handle, page), 0);
}

static bool holds(unsigned i, u32 index, u64 word)
{
	static u64 page[PAGE_SIZE / 8] __aligned_to(PAGE_SIZE);
	struct tmem_handle handle = {.object = {1, 2, 3}, .index = index, .pool = 0};

	return tmem_get(vms[i]->tmem, &handle, page) == 0 && page[0] == word &&
	       page[511] == word + 511;
}

/* ---- Who may call, for whom ---------------------------------------------------------- */

static void bug_control_calls_open_to_guests(void **state)
{
	struct tmem_guest_info before = {0}, after = {0};

	(void)state;
	start();
	put(KEEPER, 0, 1);
	tmem_client_info(vms[KEEPER]->tmem, &before);
	for (u64 number = HYPERCALL_TMEM_GUEST; number <= HYPERCALL_TMEM_ABANDON; number++)
		for (u64 guest = 0; guest < GUESTS; guest++) {
			assert_int_equal(call_as(OTHER, number, guest, STATE, BUFFER, LENGTH),
				-SLUICE_EPERM);
			/* Not even to itself, nor to find out who is there. */
			assert_int_equal(call_as(OTHER, number, NOBODY, 1, 1, 1), -SLUICE_EPERM);
		}
	tmem_client_info(vms[KEEPER]->tmem, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(holds(KEEPER, 0, 1));
	finish();
}

static void bug_missing_client_in_save(void **state)
{
	const u64 guests[] = {WARDEN, NOBODY, VMS_MAX, ~0UL, 1UL << 32 | KEEPER};

	(void)state;
	start();
	for (unsigned i = 0; i < ARRAY_SIZE(guests); i++)
		for (u64 number = HYPERCALL_TMEM_FREEZE; number <= HYPERCALL_TMEM_ABANDON; number++)
			assert_int_equal(
				call(number, guests[i], STATE, BUFFER, LENGTH), -SLUICE_ESRCH);
	finish();
}

static void guest_that_has_ended_has_no_client(void **state)
{
	struct tmem_guest_info info;

	(void)state;
	start();
	assert_int_equal(call(HYPERCALL_TMEM_GUEST, KEEPER, BUFFER, 0, 0), 0);
	read_warden(BUFFER, &info, sizeof(info));
	assert_string_equal(info.name, "keeper");
	assert_int_equal(info.flags, TMEM_GUEST_HAS_TMEM | TMEM_GUEST_RUNNING);
	/* Its client is still there: the call must not reach it. */
	vms[KEEPER]->stop_reason = STOP_SHUTDOWN;
	assert_non_null(vms[KEEPER]->tmem);
	for (u64 number = HYPERCALL_TMEM_FREEZE; number <= HYPERCALL_TMEM_ABANDON; number++)
		assert_int_equal(call(number, KEEPER, STATE, BUFFER, LENGTH), -SLUICE_ESRCH);
	assert_int_equal(call(HYPERCALL_TMEM_GUEST, KEEPER, BUFFER, 0, 0), 0);
	read_warden(BUFFER, &info, sizeof(info));
	assert_int_equal(info.flags, 0);
	assert_int_equal(call(HYPERCALL_TMEM_GUEST, GUESTS, BUFFER, 0, 0), -SLUICE_ESRCH);
	finish();
}

static void client_is_kept_while_a_call_is_at_work(void **state)
{
	(void)state;
	start();
	vms[KEEPER]->tmem_users = 1;
	assert_false(tmem_control_end(vms[KEEPER]));
	vms[KEEPER]->tmem_users = 0;
	assert_true(tmem_control_end(vms[KEEPER]));
	finish();
}

/* ---- Addresses ----------------------------------------------------------------------- */

static void bug_offset_and_length_overflow(void **state)
{
	const u64 buffers[][2] = {
		{~0UL - 0xfff, 0x2000}, /* wraps */
		{~0UL, LENGTH}, {1UL << 63, 1UL << 63}, {BUFFER, ~0UL},
		{BUFFER, ~0UL - BUFFER + 1},                  /* to exactly 2^64, which is 0 */
		{GUEST, LENGTH},                              /* behind RAM */
		{GUEST - 32, LENGTH},                         /* over its end */
		{1UL << 52, LENGTH}, {~0UL - 0xffff, 0x8000}, /* without wrapping */
	};
	struct tmem_save_state save = {0};

	(void)state;
	start();
	put(KEEPER, 0, 1);
	assert_int_equal(call(HYPERCALL_TMEM_FREEZE, KEEPER, 0, 0, 0), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(buffers); i++) {
		u64 at = buffers[i][0], length = buffers[i][1];

		write_warden(STATE, &save, sizeof(save));
		assert_int_equal(
			call(HYPERCALL_TMEM_SAVE, KEEPER, STATE, at, length), -SLUICE_EFAULT);
		/* What failed has not gone on. */
		read_warden(STATE, &save, sizeof(save));
		assert_int_equal(save.phase, TMEM_SAVE_BEGIN);
		assert_int_equal(
			call(HYPERCALL_TMEM_RESTORE, OTHER, STATE, at, length), -SLUICE_EFAULT);
		while (call(HYPERCALL_TMEM_ABANDON, OTHER, 0, 0, 0) == -SLUICE_EAGAIN)
			;
	}
	/* The state, the status, the list and the information are no better. */
	for (unsigned i = 0; i < ARRAY_SIZE(buffers); i++) {
		u64 at = buffers[i][0];

		if (at == BUFFER)
			continue;
		assert_int_equal(
			call(HYPERCALL_TMEM_SAVE, KEEPER, at, BUFFER, LENGTH), -SLUICE_EFAULT);
		assert_int_equal(call(HYPERCALL_TMEM_LIST, KEEPER, at, 0, 0), -SLUICE_EFAULT);
		assert_int_equal(call(HYPERCALL_TMEM_GUEST, KEEPER, at, 0, 0), -SLUICE_EFAULT);
	}
	assert_int_equal(call(HYPERCALL_TMEM_RESTORE, OTHER, GUEST, BUFFER, 0), -SLUICE_EFAULT);
	assert_int_equal(call(HYPERCALL_TMEM_THAW, KEEPER, 0, 0, 0), 0);
	assert_true(holds(KEEPER, 0, 1));
	finish();
}

/* A length that is right for the first bytes of RAM and ends far behind it: what fits is written.
 */
static void save_writes_its_buffer_only(void **state)
{
	static const u8 mark[64] = {0xa5, 0x5a};
	struct tmem_save_state save = {0};
	u8 seen[64];
	s64 bytes;

	(void)state;
	start();
	for (u32 i = 0; i < 4; i++)
		put(KEEPER, i, i);
	assert_int_equal(call(HYPERCALL_TMEM_FREEZE, KEEPER, 0, 0, 0), 0);
	write_warden(STATE, &save, sizeof(save));
	write_warden(BUFFER + 2 * 4160, mark, sizeof(mark));
	bytes = call(HYPERCALL_TMEM_SAVE, KEEPER, STATE, BUFFER, 2 * 4160);
	assert_in_range(bytes, 1, 2 * 4160);
	read_warden(BUFFER + 2 * 4160, seen, sizeof(seen));
	assert_memory_equal(seen, mark, sizeof(mark));
	finish();
}

/* ---- What they do -------------------------------------------------------------------- */

static u64 save_keeper(void)
{
	struct tmem_save_state save = {0};
	u64 length = 0;

	assert_int_equal(call(HYPERCALL_TMEM_FREEZE, KEEPER, 0, 0, 0), 0);
	write_warden(STATE, &save, sizeof(save));
	do {
		s64 bytes = call(HYPERCALL_TMEM_SAVE, KEEPER, STATE, BUFFER + length, 4160);

		assert_in_range(bytes, 0, 4160);
		length += (u64)bytes;
		read_warden(STATE, &save, sizeof(save));
	} while (save.phase != TMEM_SAVE_DONE);
	return length;
}

static void what_was_saved_is_restored_in_another(void **state)
{
	u64 length, taken = 0;
	u32 status = TMEM_RESTORE_MORE;

	(void)state;
	start();
	for (u32 i = 0; i < 20; i++)
		put(KEEPER, i * 9, i + 1);
	length = save_keeper();
	while (status == TMEM_RESTORE_MORE) {
		s64 bytes = call(HYPERCALL_TMEM_RESTORE, OTHER, STATE, BUFFER + taken,
			MIN(length - taken, 5000UL));

		if (bytes == -SLUICE_EAGAIN)
			continue;
		assert_true(bytes >= 0);
		taken += (u64)bytes;
		read_warden(STATE, &status, sizeof(status));
	}
	assert_int_equal(status, TMEM_RESTORE_DONE);
	assert_int_equal(vms[OTHER]->restorer, 0);
	for (u32 i = 0; i < 20; i++)
		assert_true(holds(OTHER, i * 9, i + 1));
	finish();
}

static void restore_ends_with_who_does_it(void **state)
{
	(void)state;
	start();
	put(KEEPER, 0, 1);
	(void)save_keeper();
	assert_true(call(HYPERCALL_TMEM_RESTORE, OTHER, STATE, BUFFER, 4160) > 0);
	assert_int_equal(vms[OTHER]->restorer, vms[WARDEN]->id);
	/* Another privileged one must wait. */
	config_of(KEEPER)->privileged = true;
	assert_int_equal(
		call_as(KEEPER, HYPERCALL_TMEM_RESTORE, OTHER, STATE, BUFFER, 4160), -SLUICE_EBUSY);
	assert_true(tmem_control_end(vms[WARDEN]));
	assert_int_equal(vms[OTHER]->restorer, 0);
	assert_int_equal(tmem_pool_create(vms[OTHER]->tmem, 0, 0, 0), 0);
	finish();
}

static void weights_and_caps_reach_the_client(void **state)
{
	struct tmem_guest_info info;

	(void)state;
	start();
	assert_int_equal(call(HYPERCALL_TMEM_WEIGHT, KEEPER, 77, 0, 0), 0);
	assert_int_equal(call(HYPERCALL_TMEM_WEIGHT, KEEPER, 0, 0, 0), -SLUICE_EINVAL);
	assert_int_equal(call(HYPERCALL_TMEM_WEIGHT, KEEPER, 65536, 0, 0), -SLUICE_EINVAL);
	assert_int_equal(call(HYPERCALL_TMEM_CAPS, KEEPER, 11, 12, 0), 0);
	assert_int_equal(call(HYPERCALL_TMEM_FREEZE, KEEPER, 0, 0, 0), 0);
	assert_int_equal(call(HYPERCALL_TMEM_GUEST, KEEPER, BUFFER, 0, 0), 0);
	read_warden(BUFFER, &info, sizeof(info));
	assert_int_equal(info.weight, 77);
	assert_int_equal(info.persistent_max, 11);
	assert_int_equal(info.ephemeral_max, 12);
	assert_int_equal(info.flags, TMEM_GUEST_HAS_TMEM | TMEM_GUEST_RUNNING | TMEM_GUEST_FROZEN);
	assert_int_equal(call(HYPERCALL_TMEM_LIST, KEEPER, BUFFER, 0, 0), 2);
	assert_int_equal(call(HYPERCALL_TMEM_LIST, OTHER, BUFFER, 0, 0), 0);
	finish();
}

/* ---- Memory and the log -------------------------------------------------------------- */

static void *hoard[65536];

static unsigned take_all_memory(void)
{
	unsigned count = 0;

	while (count < ARRAY_SIZE(hoard) && (hoard[count] = hypervisor_alloc(0)))
		count++;
	assert_true(count < ARRAY_SIZE(hoard));
	return count;
}

static void call_without_memory_fails_and_changes_nothing(void **state)
{
	struct tmem_save_state save = {0}, after;
	unsigned count;

	(void)state;
	start();
	put(KEEPER, 0, 1);
	assert_int_equal(call(HYPERCALL_TMEM_FREEZE, KEEPER, 0, 0, 0), 0);
	write_warden(STATE, &save, sizeof(save));
	write_warden(BUFFER, &save, sizeof(save));
	count = take_all_memory();
	assert_int_equal(call(HYPERCALL_TMEM_SAVE, KEEPER, STATE, BUFFER, LENGTH), -SLUICE_ENOMEM);
	assert_int_equal(call(HYPERCALL_TMEM_LIST, KEEPER, BUFFER, 0, 0), -SLUICE_ENOMEM);
	assert_int_equal(call(HYPERCALL_TMEM_RESTORE, OTHER, STATE, BUFFER, 0), -SLUICE_ENOMEM);
	assert_int_equal(vms[OTHER]->restorer, 0);
	/* These need none. */
	assert_int_equal(call(HYPERCALL_TMEM_THAW, KEEPER, 0, 0, 0), 0);
	assert_int_equal(call(HYPERCALL_TMEM_ABANDON, KEEPER, 0, 0, 0), 0);
	while (count)
		hypervisor_free(hoard[--count], 0);
	read_warden(STATE, &after, sizeof(after));
	assert_memory_equal(&save, &after, sizeof(save));
	assert_int_equal(vms[KEEPER]->tmem_users, 0);
	assert_true(holds(KEEPER, 0, 1));
	finish();
}

/* Messages that guests can cause are limited for each guest: by the second, and in all. */
static void bug_guest_floods_the_log(void **state)
{
	struct tmem_stream_record record = {.type = 99};
	unsigned before;

	(void)state;
	start();
	write_warden(BUFFER, &record, sizeof(record));
	fake_log_reset();
	for (unsigned second = 0; second < 40; second++) {
		before = fake_log_lines;
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(call(HYPERCALL_TMEM_RESTORE, OTHER, STATE, BUFFER, 64),
				-SLUICE_EINVAL);
		assert_int_equal(fake_log_lines - before, second < 20 ? 10 : 0);
		fake_tsc += 1000000000;
	}
	assert_non_null(strstr(fake_log_text, "guest \"warden\": its stream for guest \"other\""));
	/* Another guest still has all of its own, here for pages that are in the balloon. */
	assert_int_equal(memory_inflate(vms[OTHER], gfn(300), 0), 0);
	before = fake_log_lines;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(
			memory_fault(&vcpus[OTHER], gpa(300UL << PAGE_SHIFT), ACCESS_READ), BAD);
	assert_int_equal(fake_log_lines - before, 10);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bug_control_calls_open_to_guests),
		cmocka_unit_test(bug_missing_client_in_save),
		cmocka_unit_test(guest_that_has_ended_has_no_client),
		cmocka_unit_test(client_is_kept_while_a_call_is_at_work),
		cmocka_unit_test(bug_offset_and_length_overflow),
		cmocka_unit_test(save_writes_its_buffer_only),
		cmocka_unit_test(what_was_saved_is_restored_in_another),
		cmocka_unit_test(restore_ends_with_who_does_it),
		cmocka_unit_test(weights_and_caps_reach_the_client),
		cmocka_unit_test(call_without_memory_fails_and_changes_nothing),
		cmocka_unit_test(bug_guest_floods_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
