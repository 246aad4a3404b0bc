/*
 * The audit must be silent on a sound machine and find every kind of corruption (audit_machine.h):
 * here of frames, their counts and lists, and of what the store, the disk and limbo hold. Those of
 * guests' memory are in test_audit_memory.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "audit_machine.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/tmem_port.h"

static void frame_in_guest_and_store(void)
{
	fake_store_add(memory_page(machine.one, gfn(SMALL)));
}

static void frame_of_another_guest(void)
{
	frame_behind(machine.one, SMALL)->owner = machine.two->id;
}

static void guest_frame_lost(void)
{
	(void)frame_alloc(FRAME_GUEST, 0, machine.one->id);
}

static void table_lost(void)
{
	(void)frame_alloc(FRAME_HYPERVISOR, 0, machine.one->id);
}

static void pool_page_lost(void)
{
	(void)frame_alloc(FRAME_TMEM, 0, 0);
}

static void free_frame_lost(void)
{
	u32 first = frames.heads[__builtin_ctz(frames.nonempty)];
	unsigned order = frames.table[first].order;

	frames.heads[order] = frames.table[first].next;
	if (frames.heads[order] == FRAME_NONE)
		frames.nonempty &= ~(1U << order);
	else
		frames.table[frames.heads[order]].prev = FRAME_NONE;
}

static void mapped_frame_has_wrong_class(void)
{
	frame_behind(machine.one, SMALL)->class = FRAME_TMEM;
}

static void disk_frame_has_wrong_class(void)
{
	frame_of(machine.disk)->class = FRAME_HYPERVISOR;
}

static void disk_frame_claims_to_be_free(void)
{
	frame_of(machine.disk)->class = FRAME_FREE;
	frame_of(machine.disk)->refs = 0;
}

static void class_is_unknown(void)
{
	frame_of(machine.disk)->class = 77;
}

static void guest_frame_has_wrong_count(void)
{
	frame_behind(machine.one, SMALL)->refs = 2;
}

static void disk_frame_has_wrong_count(void)
{
	frame_of(machine.disk)->refs = 0;
}

static void store_frame_has_wrong_count(void)
{
	frame_of(machine.pool)->refs = 3;
}

static void class_counter_wrong(void)
{
	frames.count[FRAME_TMEM]++;
}

static void free_list_link_wrong(void)
{
	frames.table[a_free_frame()].next = (u32)machine.disk.raw;
}

static void free_list_back_link_wrong(void)
{
	frames.table[a_free_frame()].prev = 3;
}

static void free_list_leaves_ram(void)
{
	frames.table[a_free_frame()].next = 0x7fffffff;
}

static void free_list_is_a_circle(void)
{
	u32 first = a_free_frame();

	frames.table[first].next = first;
}

static void free_block_has_wrong_order(void)
{
	frames.table[a_free_frame()].order++;
}

static void free_frame_has_a_reference(void)
{
	frames.table[a_free_frame()].refs = 1;
}

static void free_list_flag_wrong(void)
{
	frames.nonempty ^= frames.nonempty & -frames.nonempty;
}

static void limbo_frame_lost(void)
{
	frame_of(machine.gone)->next = FRAME_NONE; /* the second machine.one is cut off */
}

static void limbo_frame_has_wrong_class(void)
{
	frame_of(machine.gone)->class = FRAME_GUEST;
}

static void limbo_leaves_ram(void)
{
	frame_of(machine.gone)->next = 0x7fffffff;
}

static void limbo_is_a_circle(void)
{
	frame_of(machine.gone)->next = (u32)machine.gone.raw;
}

static void store_holds_a_free_frame(void)
{
	fake_store_add(mfn_to_ptr(mfn(a_free_frame())));
}

static void store_holds_a_page_twice(void)
{
	fake_store_add(mfn_to_ptr(machine.pool));
}

static void store_is_inconsistent(void)
{
	fake_store_verdict = -SLUICE_EINVAL;
}

static void store_is_gone(void)
{
	tmem_store = NULL;
}

static const struct corruption cases[] = {
	CASE(frame_in_guest_and_store, "is used as tmem of guest 0, but is guest of guest 1"),
	CASE(frame_of_another_guest, "is used as guest of guest 1, but is guest of guest 7"),
	CASE(guest_frame_lost, "is lost: guest of guest 1"),
	CASE(table_lost, "is lost: hypervisor of guest 1"),
	CASE(pool_page_lost, "is lost: tmem of guest 0"),
	CASE(free_frame_lost, "is lost: free, but on no list"),
	CASE(mapped_frame_has_wrong_class, "is used as guest of guest 1, but is tmem"),
	CASE(disk_frame_has_wrong_class, "are device, but the counter says"),
	CASE(disk_frame_claims_to_be_free, "is lost: free, but on no list"),
	CASE(class_is_unknown, "has the unknown class 77"),
	CASE(guest_frame_has_wrong_count, "has 2 references, but 1 users"),
	CASE(disk_frame_has_wrong_count, "has 0 references, but 1 users"),
	CASE(store_frame_has_wrong_count, "has 3 references, but 1 users"),
	CASE(class_counter_wrong, "are tmem, but the counter says"),
	CASE(free_list_link_wrong, "free lists are corrupted"),
	CASE(free_list_back_link_wrong, "free lists are corrupted"),
	CASE(free_list_leaves_ram, "free lists are corrupted"),
	CASE(free_list_is_a_circle, "free lists are corrupted"),
	CASE(free_block_has_wrong_order, "free lists are corrupted"),
	CASE(free_frame_has_a_reference, "free lists are corrupted"),
	CASE(free_list_flag_wrong, "free lists are corrupted"),
	CASE(limbo_frame_lost, "is lost: limbo, but on no list"),
	CASE(limbo_frame_has_wrong_class, "the limbo queue is corrupted"),
	CASE(limbo_leaves_ram, "the limbo queue is corrupted"),
	CASE(limbo_is_a_circle, "the limbo queue is corrupted"),
	CASE(store_holds_a_free_frame, "is used as tmem of guest 0, but is free"),
	CASE(store_holds_a_page_twice, "has 1 references, but 2 users"),
	CASE(store_is_inconsistent, "the tmem store is inconsistent"),
	CASE(store_is_gone, "is lost: tmem of guest 0"),
};

static void sound_machine_stays_sound(void **state)
{
	(void)state;
	audit_machine_build();
	/* Again and again: the audit leaves nothing behind. */
	for (unsigned i = 0; i < 3; i++) {
		fake_log_reset();
		assert_int_equal(audit_run(), 0);
		assert_int_equal(fake_log_lines, 1);
		assert_int_equal(fake_log_errors, 0);
		assert_non_null(strstr(fake_log_last, "audit: 0 discrepancies in 8192 frames"));
		assert_non_null(strstr(fake_log_last, "device 4, limbo 5"));
	}
	memory_unpin(machine.one, gfn(PINNED));
	memory_unpin(machine.one, gfn(PINNED));
	memory_destroy(machine.one);
	memory_destroy(machine.two);
	assert_int_equal(audit_run(), 0);
	fake_limbo_empty();
	assert_int_equal(audit_run(), 0);
}

int main(void)
{
	struct CMUnitTest tests[1 + ARRAY_SIZE(cases)] = {
		cmocka_unit_test(sound_machine_stays_sound),
	};

	audit_machine_tests(tests + 1, cases, ARRAY_SIZE(cases));
	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
