/*
 * The audit finds every kind of corruption of guests' memory (audit_machine.h): nested tables, what
 * gfns are said to be, pins, and their counters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "audit_machine.h"
#include "kernel/vm/memory_nested.h"

static u64 *entry_of(struct vm *vm, u64 frame)
{
	unsigned level;

	return nested_lookup(&vm->memory, frame, &level);
}

static u64 *gfn_entry(u64 frame)
{
	return &machine.one->memory.gfns[frame];
}

static void frame_mapped_twice(void)
{
	*entry_of(machine.one, SMALL + 2) = *entry_of(machine.one, SMALL);
	*gfn_entry(SMALL + 2) = *gfn_entry(SMALL);
	machine.one->memory.populated_pages++;
}

static void entry_to_free_frame(void)
{
	*entry_of(machine.one, SMALL) = mfn_to_hpa(mfn(a_free_frame())).raw | fake_ept.leaf;
}

static void entry_to_hypervisor_frame(void)
{
	*entry_of(machine.one, SMALL) = machine.one->memory.root.raw | fake_ept.leaf;
}

static void entry_beyond_all_ram(void)
{
	*entry_of(machine.one, SMALL) = GIB(512) | fake_ept.leaf;
}

static void gfn_names_another_frame(void)
{
	*gfn_entry(SMALL) += PAGE_SIZE;
}

static void gfn_populated_but_not_mapped(void)
{
	*gfn_entry(ABSENT) = mfn_to_hpa(machine.disk).raw | GFN_RAM;
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
	frame_behind(machine.one, PINNED)->refs++;
}

static void pin_of_nothing(void)
{
	*gfn_entry(ABSENT) += GFN_PIN_ONE;
}

static void leaf_without_write(void)
{
	*entry_of(machine.one, 0) &= ~0x2UL;
}

static void large_leaf_misaligned(void)
{
	*entry_of(machine.one, 0) += PAGE_SIZE;
}

static void empty_without_suppress_ve(void)
{
	*entry_of(machine.one, ABSENT) = 0;
}

static void leaf_beyond_ram(void)
{
	/* RAM ends 4 pages into this block; the frame is machine.one that nobody maps. */
	*entry_of(machine.one, SMALL + 9) =
		mfn_to_hpa(frame_alloc(FRAME_GUEST, 0, machine.one->id)).raw | fake_ept.leaf;
}

static void table_linked_twice(void)
{
	u64 *root = hpa_to_ptr(machine.one->memory.root);

	root[1] = root[0];
}

static void table_is_no_table(void)
{
	u64 *root = hpa_to_ptr(machine.one->memory.root);

	root[1] = mfn_to_hpa(machine.disk).raw | fake_ept.table;
}

static void table_entry_malformed(void)
{
	u64 *root = hpa_to_ptr(machine.one->memory.root);

	root[0] &= ~0x4UL;
}

static void populated_counter_wrong(void)
{
	machine.one->memory.populated_pages++;
}

static void table_counter_wrong(void)
{
	machine.one->memory.table_pages--;
}

static void large_counter_wrong(void)
{
	machine.two->memory.large_pages++;
}

static void huge_page_frame_lost(void)
{
	machine.one->memory.huge = (struct huge_page){
		.active = true, .frame = mfn(RAM / PAGE_SIZE)};
}

static void ballooned_counter_wrong(void)
{
	machine.two->memory.ballooned_pages++;
}

static void reported_counter_wrong(void)
{
	machine.two->memory.reported_pages--;
}

static void ballooned_page_is_mapped(void)
{
	*gfn_entry(SMALL) = memory_ballooned_entry(&machine.one->memory);
}

static void reported_page_is_mapped(void)
{
	*gfn_entry(SMALL) = GFN_REPORTED;
}

static void ballooned_page_is_pinned(void)
{
	machine.two->memory.gfns[BALLOONED] += GFN_PIN_ONE;
}

static void reported_page_names_a_frame(void)
{
	machine.two->memory.gfns[REPORTED] |= mfn_to_hpa(machine.disk).raw;
}

static void ballooned_in_a_life_to_come(void)
{
	machine.two->memory.gfns[IN_EARLIER_LIFE] += 2 * PAGE_SIZE;
}

static void ballooned_page_became_unpopulated(void)
{
	machine.two->memory.gfns[BALLOONED] = GFN_UNPOPULATED;
}

static void earlier_life_came_back(void)
{
	machine.two->memory.gfns[IN_EARLIER_LIFE] = machine.two->memory.gfns[BALLOONED];
}

static const struct corruption cases[] = {
	CASE(frame_mapped_twice, "has 1 references, but 2 users"),
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

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(cases)];

	audit_machine_tests(tests, cases, ARRAY_SIZE(cases));
	return cmocka_run_group_tests_name("audit_memory", tests, NULL, NULL);
}
