/*
 * The shim's page tables (guest-shim/paging.c): not a copy for the host but the very object that is
 * linked into guests runs here, on tables of the test's, instruction by instruction. After each of
 * them the tables are read as a processor would that has just lost its TLB: a vCPU's turn may end
 * between any two. What only ring 0 may do is done by the fault handler.
 */
#define _GNU_SOURCE /* REG_RIP */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include "guest-shim/cpu.h"
#include "guest-shim/paging.h"
#include "guest-shim/panic.h"

#define ENTRIES 512U

/* The image, as shim.mk tells the linker: pages of text, then read-only data, then data. */
extern const char image_start[], text_end[], rodata_end[];
#define DATA_PAGES 4U

/* What start.S has in its data. */
u64 boot_pml4[ENTRIES] __aligned_to(PAGE_SIZE);
static u64 boot_pdpt[ENTRIES] __aligned_to(PAGE_SIZE);
u64 boot_page_directory[4 * ENTRIES] __aligned_to(PAGE_SIZE);
#define NOT_CACHED 0x18ul /* of the last GiB */

void panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	abort();
}

static bool no_execute; /* EFER.NXE */

static int setup(void **state)
{
	(void)state;
	memset(boot_pml4, 0, sizeof(boot_pml4));
	memset(boot_pdpt, 0, sizeof(boot_pdpt));
	boot_pml4[0] = (u64)boot_pdpt | PTE_PRESENT | PTE_WRITE;
	for (u64 i = 0; i < 4; i++)
		boot_pdpt[i] = (u64)&boot_page_directory[i * ENTRIES] | PTE_PRESENT | PTE_WRITE;
	for (u64 i = 0; i < 4 * ENTRIES; i++)
		boot_page_directory[i] = i * BLOCK_SIZE | PTE_PRESENT | PTE_WRITE | PTE_LARGE |
					 (i < 3 * ENTRIES ? 0 : NOT_CACHED);
	no_execute = false;
	return 0;
}

/* ---- A processor ----------------------------------------------------------------------- */

enum rights { NONE = 0, READ = 1, WRITE = 2, EXECUTE = 4 };

/* What may be done at @address; NONE also where it leads elsewhere, or a bit is set that is
 * reserved until EFER.NXE is. */
static unsigned rights_at(u64 address)
{
	const u64 *table = boot_pml4;
	unsigned rights = READ | WRITE | EXECUTE;

	for (unsigned level = 4;; level--) {
		u64 span = 1UL << (PAGE_SHIFT + 9 * (level - 1));
		u64 entry = READ_ONCE(table[address / span % ENTRIES]);

		if (!(entry & PTE_PRESENT) || (entry & PTE_NX && !no_execute))
			return NONE;
		if (!(entry & PTE_WRITE))
			rights &= ~(unsigned)WRITE;
		if (entry & PTE_NX)
			rights &= ~(unsigned)EXECUTE;
		if (level == 1 || entry & PTE_LARGE)
			return (entry & PTE_FRAME) == (address & ~(span - 1)) ? rights : NONE;
		table = (const u64 *)(entry & PTE_FRAME);
	}
}

static unsigned due(u64 address)
{
	if (address < (u64)text_end)
		return READ | EXECUTE;
	return address < (u64)rodata_end ? READ : READ | WRITE;
}

/* The first page of the image that lacks what it is due, or, with @exact, has more; 0 = none. */
static u64 wrong_page(bool exact)
{
	const u64 end = (u64)rodata_end + DATA_PAGES * PAGE_SIZE;

	for (u64 at = (u64)image_start; at < end; at += PAGE_SIZE) {
		unsigned has = rights_at(at);

		if ((has & due(at)) != due(at) || (exact && has != due(at)))
			return at;
	}
	return 0;
}

/* ---- Instruction by instruction ---------------------------------------------------------- */

#define TRAP_FLAG 0x100

static u64 steps, changes; /* the latter of the directory's first two entries, the image's */
static u64 seen[2];
static u64 wrong, wrong_after;
static bool right_when_flushed;

static void after_instruction(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	steps++;
	changes += seen[0] != boot_page_directory[0] || seen[1] != boot_page_directory[1];
	memcpy(seen, boot_page_directory, sizeof(seen));
	if (!wrong && (wrong = wrong_page(false)) != 0)
		wrong_after = steps;
}

/* RDMSR, WRMSR, and moves from and to control registers, which read as 0. */
static void in_ring_0(int signal, siginfo_t *info, void *context)
{
	static const int numbered[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
		REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14,
		REG_R15};
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	const u8 *code = (const u8 *)regs[REG_RIP];
	unsigned prefix = *code >> 4 == 4 ? *code++ : 0;

	(void)signal, (void)info;
	if (code[0] != 0x0f)
		abort();
	switch (code[1]) {
	case 0x32:
		regs[REG_RAX] = regs[REG_RDX] = 0;
		break;
	case 0x30:
		if ((u32)regs[REG_RCX] == MSR_EFER)
			no_execute = regs[REG_RAX] & EFER_NXE;
		break;
	case 0x20:
		regs[numbered[(code[2] & 7) + (prefix & 1) * 8]] = 0;
		break;
	case 0x22:
		if ((code[2] >> 3 & 7) == 3)
			right_when_flushed = !wrong_page(true);
		break;
	default:
		abort();
	}
	regs[REG_RIP] = (greg_t)(code + (code[1] & 0x10 ? 2 : 3));
}

static void set_trap_flag(bool on)
{
	u64 flags;

	__asm__ volatile("pushfq; popq %0" : "=r"(flags));
	flags = on ? flags | TRAP_FLAG : flags & ~(u64)TRAP_FLAG;
	__asm__ volatile("pushq %0; popfq" : : "r"(flags) : "cc", "memory");
}

static void run_init(bool stepping)
{
	const struct sigaction on_fault = {.sa_sigaction = in_ring_0, .sa_flags = SA_SIGINFO};
	const struct sigaction on_step = {
		.sa_sigaction = after_instruction, .sa_flags = SA_SIGINFO};
	struct sigaction old_fault, old_step;

	steps = changes = wrong = 0;
	memcpy(seen, boot_page_directory, sizeof(seen));
	right_when_flushed = false;
	assert_int_equal(sigaction(SIGSEGV, &on_fault, &old_fault), 0);
	assert_int_equal(sigaction(SIGTRAP, &on_step, &old_step), 0);
	if (stepping)
		set_trap_flag(true);
	paging_init();
	if (stepping)
		set_trap_flag(false);
	sigaction(SIGSEGV, &old_fault, NULL);
	sigaction(SIGTRAP, &old_step, NULL);
}

/* ---- Tests ------------------------------------------------------------------------------- */

static void at_no_moment_the_image_lacks_a_right(void **state)
{
	(void)state;
	assert_int_equal(wrong_page(false), 0);
	run_init(true);
	if (wrong)
		fail_msg("page %#llx after %llu instructions", (unsigned long long)wrong,
			(unsigned long long)wrong_after);
	/* All was seen: in one store each the two entries got their tables. */
	assert_true(steps > 4 * ENTRIES);
	assert_int_equal(changes, 2);
}

static void the_tlb_is_flushed_when_rights_are_what_they_stay(void **state)
{
	(void)state;
	run_init(false);
	assert_true(no_execute);
	assert_true(right_when_flushed);
	assert_int_equal(wrong_page(true), 0);
}

static void the_rest_of_memory_is_data_and_page_0_nothing(void **state)
{
	(void)state;
	run_init(false);
	assert_int_equal(rights_at(0), NONE);
	for (u64 at = PAGE_SIZE; at < (u64)image_start; at += PAGE_SIZE)
		assert_int_equal(rights_at(at), READ | WRITE);
	for (u64 at = MIB(4); at < GIB(4); at += BLOCK_SIZE)
		assert_int_equal(rights_at(at), READ | WRITE);
	assert_int_equal(boot_page_directory[3 * ENTRIES - 1] & NOT_CACHED, 0);
	assert_int_equal(boot_page_directory[3 * ENTRIES] & NOT_CACHED, NOT_CACHED);
}

static u64 tables[3][ENTRIES] __aligned_to(PAGE_SIZE);

static u32 frame_of(const u64 *table)
{
	return (u32)((u64)table >> PAGE_SHIFT);
}

static void an_entry_is_found_when_its_tables_are_there(void **state)
{
	const u64 at = ANON_BASE + GIB(3) + MIB(6) + 5 * PAGE_SIZE;

	(void)state;
	run_init(false);
	assert_ptr_equal(paging_entry(MIB(1)) + 1, paging_entry(MIB(1) + PAGE_SIZE));
	memset(tables, 0xff, sizeof(tables));
	assert_null(paging_entry(at));
	paging_add_table(at, frame_of(tables[0]));
	assert_null(paging_entry(at));
	paging_add_table(at, frame_of(tables[1]));
	assert_ptr_equal(paging_entry(at), &tables[1][5]);
	assert_ptr_equal(paging_entry(at + PAGE_SIZE), &tables[1][6]);
	assert_null(paging_entry(at + BLOCK_SIZE));
	assert_int_equal(tables[1][5], 0);
	tables[1][5] = at | PTE_PRESENT;
	assert_int_equal(rights_at(at), READ | EXECUTE);
}

static void the_filters_window_can_only_be_read(void **state)
{
	const u64 from = GIB(2), bytes = 3 * BLOCK_SIZE;

	(void)state;
	run_init(false);
	memset(tables, 0xff, sizeof(tables));
	paging_map_read_only(FILTER_BASE, from, bytes, frame_of(tables[2]));
	for (u64 i = 0; i < ENTRIES; i++)
		assert_int_equal(tables[2][i],
			i < 3 ? (from + i * BLOCK_SIZE) | PTE_PRESENT | PTE_LARGE | PTE_NX : 0);
	assert_int_equal(boot_pdpt[FILTER_BASE / GIB(1)], (u64)tables[2] | PTE_PRESENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(at_no_moment_the_image_lacks_a_right, setup),
		cmocka_unit_test_setup(the_tlb_is_flushed_when_rights_are_what_they_stay, setup),
		cmocka_unit_test_setup(the_rest_of_memory_is_data_and_page_0_nothing, setup),
		cmocka_unit_test_setup(an_entry_is_found_when_its_tables_are_there, setup),
		cmocka_unit_test_setup(the_filters_window_can_only_be_read, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
