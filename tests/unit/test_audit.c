/*
 * The audit must be silent on a sound machine and find every kind of corruption: each case plants
 * one in a machine with two guests, a store, a RAM disk and frames in limbo, and says what must be
 * reported. The machine is put back from a copy afterwards and must be sound again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "fake/machine.h"
#include "fake/store.h"
#include "fake/vm.h"
#include "kernel/core/frame_internal.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/tmem_port.h"

#define RAM    MIB(32)
#define PINNED 5    /* a gfn of guest 1 in a 2 MiB page, pinned twice */
#define SMALL  1024 /* a gfn of guest 1 in a 4 KiB page */
#define ABSENT 600  /* a gfn of guest 1 that is not populated */
/* Of the second guest. */
#define IN_EARLIER_LIFE 19
#define BALLOONED       20
#define REPORTED        21

static struct vm *one, *two;
static mfn_t disk, pool, gone;

static struct {
	u8 *ram;
	struct frames frames;
	struct vm one, two;
} copy;

static void build(void)
{
	mfn_t host;

	fake_core_start(RAM, 2);
	for (unsigned i = 0; i < 2; i++) {
		fake_run_as(i);
		epoch_quiescent(epoch_now());
	}
	fake_run_as(0);
	one = fake_vm(0);
	two = fake_vm(6);
	assert_int_equal(memory_create(one, MIB(4) + KIB(16), &fake_ept), 0);
	assert_int_equal(memory_create(two, MIB(2), &fake_npt), 0);
	assert_non_null(memory_page(one, gfn(0)));
	assert_non_null(memory_page(one, gfn(SMALL)));
	assert_non_null(memory_page(one, gfn(SMALL + 1)));
	assert_non_null(memory_page(two, gfn(0)));
	assert_int_equal(memory_pin(one, gfn(PINNED), &host), 0);
	assert_int_equal(memory_pin(one, gfn(PINNED), &host), 0);
	gone = ptr_to_mfn(memory_page(two, gfn(9)));
	assert_int_equal(memory_remove(two, gfn(9)), 0);
	assert_int_equal(memory_remove(two, gfn(10)), 0);
	assert_int_equal(memory_inflate(two, gfn(IN_EARLIER_LIFE), 0), 0);
	memory_balloon_forget(two);
	assert_int_equal(memory_inflate(two, gfn(BALLOONED), 0), 0);
	assert_int_equal(memory_report(two, gfn(REPORTED), 0), 0);
	disk = frame_alloc(FRAME_DEVICE, 2, 0);
	pool = frame_alloc(FRAME_TMEM, 0, 0);
	fake_store_reset(true);
	fake_store_add(mfn_to_ptr(pool));
	fake_store_add(mfn_to_ptr(frame_alloc(FRAME_TMEM, 0, 0)));

	free(copy.ram);
	copy.ram = malloc(RAM);
	assert_non_null(copy.ram);
	memcpy(copy.ram, fake_ram, RAM);
	copy.frames = frames;
	copy.one = *one;
	copy.two = *two;
}

static void restore(void)
{
	memcpy(fake_ram, copy.ram, RAM);
	frames = copy.frames;
	*one = copy.one;
	*two = copy.two;
	fake_store_reset(true);
	fake_store_add(mfn_to_ptr(pool));
	fake_store_add(mfn_to_ptr(mfn(pool.raw + 1)));
}

/* ---- What the cases change ------------------------------------------------------------------ */

static u64 *entry_of(struct vm *vm, u64 frame)
{
	unsigned level;

	return nested_lookup(&vm->memory, frame, &level);
}

static struct frame *frame_behind(struct vm *vm, u64 frame)
{
	return frame_of(ptr_to_mfn(memory_page(vm, gfn(frame))));
}

static u32 a_free_frame(void)
{
	return frames.heads[__builtin_ctz(frames.nonempty)];
}

static u64 *gfn_entry(u64 frame)
{
	return &one->memory.gfns[frame];
}

static void frame_mapped_twice(void)
{
	*entry_of(one, SMALL + 2) = *entry_of(one, SMALL);
	*gfn_entry(SMALL + 2) = *gfn_entry(SMALL);
	one->memory.populated_pages++;
}

static void frame_in_guest_and_store(void)
{
	fake_store_add(memory_page(one, gfn(SMALL)));
}

static void frame_of_another_guest(void)
{
	frame_behind(one, SMALL)->owner = two->id;
}

static void guest_frame_lost(void)
{
	(void)frame_alloc(FRAME_GUEST, 0, one->id);
}

static void table_lost(void)
{
	(void)frame_alloc(FRAME_HYPERVISOR, 0, one->id);
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
	frame_behind(one, SMALL)->class = FRAME_TMEM;
}

static void disk_frame_has_wrong_class(void)
{
	frame_of(disk)->class = FRAME_HYPERVISOR;
}

static void disk_frame_claims_to_be_free(void)
{
	frame_of(disk)->class = FRAME_FREE;
	frame_of(disk)->refs = 0;
}

static void class_is_unknown(void)
{
	frame_of(disk)->class = 77;
}

static void guest_frame_has_wrong_count(void)
{
	frame_behind(one, SMALL)->refs = 2;
}

static void disk_frame_has_wrong_count(void)
{
	frame_of(disk)->refs = 0;
}

static void store_frame_has_wrong_count(void)
{
	frame_of(pool)->refs = 3;
}

static void entry_to_free_frame(void)
{
	*entry_of(one, SMALL) = mfn_to_hpa(mfn(a_free_frame())).raw | fake_ept.leaf;
}

static void entry_to_hypervisor_frame(void)
{
	*entry_of(one, SMALL) = one->memory.root.raw | fake_ept.leaf;
}

static void entry_beyond_all_ram(void)
{
	*entry_of(one, SMALL) = GIB(512) | fake_ept.leaf;
}

static void gfn_names_another_frame(void)
{
	*gfn_entry(SMALL) += PAGE_SIZE;
}

static void gfn_populated_but_not_mapped(void)
{
	*gfn_entry(ABSENT) = mfn_to_hpa(disk).raw | GFN_RAM;
}

static void gfn_mapped_but_not_populated(void)
{
	*gfn_entry(SMALL) = GFN_UNPOPULATED;
}

static void device_hole_is_mapped(void)
{
	*gfn_entry(SMALL) = GFN_MMIO;
}

static void pin_without_reference(void)
{
	*gfn_entry(PINNED) += GFN_PIN_ONE;
}

static void reference_without_pin(void)
{
	frame_behind(one, PINNED)->refs++;
}

static void pin_of_nothing(void)
{
	*gfn_entry(ABSENT) += GFN_PIN_ONE;
}

static void leaf_without_write(void)
{
	*entry_of(one, 0) &= ~0x2UL;
}

static void large_leaf_misaligned(void)
{
	*entry_of(one, 0) += PAGE_SIZE;
}

static void empty_without_suppress_ve(void)
{
	*entry_of(one, ABSENT) = 0;
}

static void leaf_beyond_ram(void)
{
	/* RAM ends 4 pages into this block; the frame is one that nobody maps. */
	*entry_of(one, SMALL + 9) = mfn_to_hpa(frame_alloc(FRAME_GUEST, 0, one->id)).raw |
				    fake_ept.leaf;
}

static void table_linked_twice(void)
{
	u64 *root = hpa_to_ptr(one->memory.root);

	root[1] = root[0];
}

static void table_is_no_table(void)
{
	u64 *root = hpa_to_ptr(one->memory.root);

	root[1] = mfn_to_hpa(disk).raw | fake_ept.table;
}

static void table_entry_malformed(void)
{
	u64 *root = hpa_to_ptr(one->memory.root);

	root[0] &= ~0x4UL;
}

static void populated_counter_wrong(void)
{
	one->memory.populated_pages++;
}

static void table_counter_wrong(void)
{
	one->memory.table_pages--;
}

static void large_counter_wrong(void)
{
	two->memory.large_pages++;
}

static void class_counter_wrong(void)
{
	frames.count[FRAME_TMEM]++;
}

static void free_list_link_wrong(void)
{
	frames.table[a_free_frame()].next = (u32)disk.raw;
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
	frame_of(gone)->next = FRAME_NONE; /* the second one is cut off */
}

static void limbo_frame_has_wrong_class(void)
{
	frame_of(gone)->class = FRAME_GUEST;
}

static void limbo_leaves_ram(void)
{
	frame_of(gone)->next = 0x7fffffff;
}

static void limbo_is_a_circle(void)
{
	frame_of(gone)->next = (u32)gone.raw;
}

static void store_holds_a_free_frame(void)
{
	fake_store_add(mfn_to_ptr(mfn(a_free_frame())));
}

static void store_holds_a_page_twice(void)
{
	fake_store_add(mfn_to_ptr(pool));
}

static void store_is_inconsistent(void)
{
	fake_store_verdict = -SLUICE_EINVAL;
}

static void store_is_gone(void)
{
	tmem_store = NULL;
}

static void huge_page_frame_lost(void)
{
	one->memory.huge = (struct huge_page){.active = true, .frame = mfn(RAM / PAGE_SIZE)};
}

static void ballooned_counter_wrong(void)
{
	two->memory.ballooned_pages++;
}

static void reported_counter_wrong(void)
{
	two->memory.reported_pages--;
}

static void ballooned_page_is_mapped(void)
{
	*gfn_entry(SMALL) = memory_ballooned_entry(&one->memory);
}

static void reported_page_is_mapped(void)
{
	*gfn_entry(SMALL) = GFN_REPORTED;
}

static void ballooned_page_is_pinned(void)
{
	two->memory.gfns[BALLOONED] += GFN_PIN_ONE;
}

static void reported_page_names_a_frame(void)
{
	two->memory.gfns[REPORTED] |= mfn_to_hpa(disk).raw;
}

static void ballooned_in_a_life_to_come(void)
{
	two->memory.gfns[IN_EARLIER_LIFE] += 2 * PAGE_SIZE;
}

static void ballooned_page_became_unpopulated(void)
{
	two->memory.gfns[BALLOONED] = GFN_UNPOPULATED;
}

static void earlier_life_came_back(void)
{
	two->memory.gfns[IN_EARLIER_LIFE] = two->memory.gfns[BALLOONED];
}

struct corruption {
	const char *name;
	void (*plant)(void);
	const char *report; /* must be among the lines logged */
};

#define CASE(function, text)                                                                       \
	{                                                                                          \
#function, function, text                                                          \
	}
static const struct corruption cases[] = {
	CASE(frame_mapped_twice, "has 1 references, but 2 users"),
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
	CASE(entry_to_free_frame, "is used as guest of guest 1, but is free"),
	CASE(entry_to_hypervisor_frame, "is used as guest of guest 1, but is hypervisor"),
	CASE(entry_beyond_all_ram, "is used as guest, but is no RAM"),
	CASE(gfn_names_another_frame, "gfn 0x400 is mapped to frame"),
	CASE(gfn_populated_but_not_mapped, "gfn 0x258 is not mapped, but its entry is"),
	CASE(gfn_mapped_but_not_populated, "gfn 0x400 is mapped to frame"),
	CASE(device_hole_is_mapped, "gfn 0x400 is mapped to frame"),
	CASE(pin_without_reference, "has 3 references, but 4 users"),
	CASE(reference_without_pin, "has 4 references, but 3 users"),
	CASE(pin_of_nothing, "gfn 0x258 is not mapped, but its entry is"),
	CASE(leaf_without_write, "gfn 0 has a malformed leaf"),
	CASE(large_leaf_misaligned, "gfn 0 has a malformed leaf"),
	CASE(empty_without_suppress_ve, "has a malformed empty entry 0"),
	CASE(leaf_beyond_ram, "gfn 0x409 is mapped beyond its RAM"),
	CASE(table_linked_twice, "has 1 references, but 2 users"),
	CASE(table_is_no_table, "is used as hypervisor of guest 1, but is device"),
	CASE(table_entry_malformed, "gfn 0 has a malformed entry"),
	CASE(populated_counter_wrong, "pages populated, but the counter says"),
	CASE(table_counter_wrong, "nested tables, but the counter says"),
	CASE(large_counter_wrong, "2 MiB pages, but the counter says"),
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
	CASE(huge_page_frame_lost, "is used as guest, but is no RAM"),
	CASE(ballooned_counter_wrong, "1 pages ballooned, but the counter says 2"),
	CASE(reported_counter_wrong, "1 pages reported free, but the counter says 0"),
	CASE(ballooned_page_is_mapped, "gfn 0x400 is mapped to frame"),
	CASE(reported_page_is_mapped, "gfn 0x400 is mapped to frame"),
	CASE(ballooned_page_is_pinned, "gfn 0x14 is not mapped, but its entry is"),
	CASE(reported_page_names_a_frame, "gfn 0x15 is not mapped, but its entry is"),
	CASE(ballooned_in_a_life_to_come, "gfn 0x13 is not mapped, but its entry is"),
	CASE(ballooned_page_became_unpopulated, "0 pages ballooned, but the counter says 1"),
	CASE(earlier_life_came_back, "2 pages ballooned, but the counter says 1"),
};

static void corruption_is_found(void **state)
{
	const struct corruption *corruption = *state;
	u64 found;

	build();
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
	memory_unpin(one, gfn(PINNED));
	memory_unpin(one, gfn(PINNED));
}

static void sound_machine_stays_sound(void **state)
{
	(void)state;
	build();
	/* Again and again: the audit leaves nothing behind. */
	for (unsigned i = 0; i < 3; i++) {
		fake_log_reset();
		assert_int_equal(audit_run(), 0);
		assert_int_equal(fake_log_lines, 1);
		assert_int_equal(fake_log_errors, 0);
		assert_non_null(strstr(fake_log_last, "audit: 0 discrepancies in 8192 frames"));
		assert_non_null(strstr(fake_log_last, "device 4, limbo 5"));
	}
	memory_unpin(one, gfn(PINNED));
	memory_unpin(one, gfn(PINNED));
	memory_destroy(one);
	memory_destroy(two);
	assert_int_equal(audit_run(), 0);
	fake_limbo_empty();
	assert_int_equal(audit_run(), 0);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(cases) + 1] = {
		cmocka_unit_test(sound_machine_stays_sound),
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		tests[i + 1] = (struct CMUnitTest){
			.name = cases[i].name,
			.test_func = corruption_is_found,
			.initial_state = (void *)&cases[i],
		};
	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
