/*
 * Starting the other processors: one that comes online late is either counted and left alone, or
 * reset and not counted, at whatever time it comes. Processors here do all that smp.c has them do
 * in one moment, before a chosen one of the boot processor's waits and IPIs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/clock.h"
#include "arch/x86/early.h"
#include "arch/x86/mca.h"
#include "arch/x86/paging.h"
#include "arch/x86/port.h"
#include "arch/x86/start.h"
#include "arch/x86/tsc_check.h"
#include "arch/x86/xsave.h"
#include "fake/machine.h"

#include "arch/x86/smp.c" /* for its count, which starts once in a machine's life */

#define TRAMPOLINE 0x1000u
#define NEVER      (~0U)

/* What the trampoline's page has; each processor takes its parameters from the copy. */
__asm__(".section .rodata\n"
	".balign 8\n"
	".globl trampoline_start, trampoline_cr3, trampoline_stack, trampoline_argument\n"
	".globl trampoline_entry, trampoline_end\n"
	"trampoline_start: .quad 0\n"
	"trampoline_cr3: .quad 0\n"
	"trampoline_stack: .quad 0\n"
	"trampoline_argument: .quad 0\n"
	"trampoline_entry: .quad 0\n"
	"trampoline_end:\n"
	".text\n");
enum { CR3 = 1, STACK, ARGUMENT, ENTRY };

enum state { WAITS_FOR_SIPI, STARTED, ONLINE, HALTED };

/* The other processors; the boot processor has APIC id 0. */
static struct processor {
	u32 id;
	unsigned late; /* so many waits and IPIs after its start it comes */
	enum state state;
	unsigned index, resets;
	bool unfit, other_state;
} processors[MAX_CPUS];
static unsigned processor_count = 2;
static unsigned running; /* which of them */
static jmp_buf back;
static unsigned counted, checked;
static bool shown;
static struct acpi_info acpi;

/* The moment has come: up to where it would run guests, or halts. */
static void run_processor(struct processor *p)
{
	const u64 *page = (const u64 *)(fake_ram + TRAMPOLINE);
	void (*entry)(u64 index) = (void (*)(u64))page[ENTRY];

	p->index = (unsigned)page[ARGUMENT];
	assert_int_equal(page[CR3], 0xc3000);
	assert_int_equal(page[STACK], 0x5000 + p->index);
	running = (unsigned)(p - processors);
	if (setjmp(back) == 0)
		entry(p->index);
}

/* Before each wait and IPI of the boot processor. */
static void time_passes(void)
{
	for (unsigned i = 0; i < processor_count; i++) {
		struct processor *p = &processors[i];

		if (p->state == STARTED && p->late != NEVER && p->late-- == 0)
			run_processor(p);
	}
}

/* ---- What smp.c needs
 * ----------------------------------------------------------------------------
 */

void clock_wait_us(u64 us)
{
	assert_in_range(us, 50, 10000);
	time_passes();
}

void apic_send(u32 destination, u32 command)
{
	time_passes();
	for (unsigned i = 0; i < processor_count; i++) {
		struct processor *p = &processors[i];

		if (p->id != destination)
			continue;
		if ((command & (7U << 8)) == ICR_INIT) {
			p->state = WAITS_FOR_SIPI;
			p->resets++;
		} else if (p->state == WAITS_FOR_SIPI) {
			assert_int_equal(command & 0xff, TRAMPOLINE >> PAGE_SHIFT);
			assert_true(shown);
			p->state = STARTED;
		}
	}
}

__attribute__((noreturn)) void arch_halt(void)
{
	processors[running].state = HALTED;
	longjmp(back, 1);
}

__attribute__((noreturn)) void cpu_main(void)
{
	processors[running].state = ONLINE;
	longjmp(back, 1);
}

void cpu_load(unsigned index)
{
	assert_int_equal(index, processors[running].index);
}

void tsc_check_other(unsigned index)
{
	checked = index;
}

/* Waits for the other one's part: in a good order that was. */
void tsc_check_boot(unsigned index)
{
	assert_int_equal(index, checked);
}

void cpu_set_count(unsigned count)
{
	counted = count;
}

const struct acpi_info *acpi_info(void)
{
	return &acpi;
}

hpa_t early_trampoline_page(void)
{
	return (hpa_t){TRAMPOLINE};
}

u64 cpu_stack_top(unsigned index)
{
	return 0x5000 + index;
}

u64 paging_root(void)
{
	return 0xc3000;
}

void paging_trampoline_show(void)
{
	shown = true;
}

void paging_trampoline_hide(void)
{
	shown = false;
}

bool paging_trampoline_prepare(hpa_t page)
{
	return page.raw == TRAMPOLINE;
}

bool cpu_create(unsigned index)
{
	assert_in_range(index, 1, MAX_CPUS - 1);
	return true;
}

bool xsave_start(unsigned index)
{
	assert_int_equal(index, processors[running].index);
	return !processors[running].other_state;
}

bool cpu_is_fit(void)
{
	return !processors[running].unfit;
}

void mca_clear(void)
{
}

void apic_enable(void)
{
}

void clock_enable(void)
{
}

u32 apic_id(void)
{
	return 0;
}

bool apic_is_x2(void)
{
	return false;
}

/* ---- Tests --------------------------------------------------------------------------------------
 */

/* Starts the machine with processors that are @first and @second late: how many run then. Whoever
 * is counted is online and was not reset since. */
static unsigned start(unsigned first, unsigned second)
{
	const unsigned late[] = {first, second};
	unsigned count, next = 1;

	fake_machine_start(MIB(1), 1);
	acpi = (struct acpi_info){.apic_ids = {0, 7, 9}, .cpu_count = 3};
	processor_count = 2;
	for (unsigned i = 0; i < processor_count; i++)
		processors[i] = (struct processor){.id = acpi.apic_ids[i + 1], .late = late[i]};
	online = counted = 1;
	checked = 0;
	assert_int_equal(smp_prepare(), 0);
	count = arch_start_other_cpus();
	assert_int_equal(count, counted);
	assert_false(shown);
	/* Nobody comes any more, but those who were online all the time. */
	for (unsigned i = 0; i < 5000; i++)
		time_passes();
	assert_int_equal(count, counted);
	for (unsigned i = 0; i < processor_count; i++) {
		const struct processor *p = &processors[i];

		if (p->state != ONLINE) {
			assert_int_equal(p->state, WAITS_FOR_SIPI);
			continue;
		}
		assert_int_equal(p->resets, 1); /* before its start */
		assert_int_equal(p->index, next);
		assert_int_equal(arch_cpu(next)->apic_id, p->id);
		next++;
	}
	assert_int_equal(count, next);
	return count;
}

static void all_come(void **state)
{
	(void)state;
	assert_int_equal(start(0, 0), 3);
	assert_int_equal(start(1, 3), 3);
	assert_int_equal(start(NEVER, 0), 2);
	assert_int_equal(start(0, NEVER), 2);
	assert_int_equal(start(NEVER, NEVER), 1);
}

/* At each moment from its SIPI until long after it was given up. */
static void one_comes_at_any_time(void **state)
{
	unsigned before[2] = {3, 3};

	(void)state;
	for (unsigned late = 0; late < 2100; late++) {
		const unsigned counts[] = {start(late, 0), start(0, late)};

		for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
			assert_in_range(counts[i], 2, before[i]);
			before[i] = counts[i];
		}
	}
	assert_int_equal(before[0], 2);
	assert_int_equal(before[1], 2);
}

/* Kinds of cores that differ, or firmware that left VT-x off on one: it does not count, the next
 * takes its number, and it is reset so that it stays away. */
static void expect_left_out(struct processor first)
{
	fake_machine_start(MIB(1), 1);
	acpi = (struct acpi_info){.apic_ids = {0, 7, 9}, .cpu_count = 3};
	processor_count = 2;
	processors[0] = first;
	processors[1] = (struct processor){.id = 9};
	online = counted = 1;
	assert_int_equal(smp_prepare(), 0);
	assert_int_equal(arch_start_other_cpus(), 2);
	assert_int_equal(counted, 2);
	assert_int_equal(processors[0].state, WAITS_FOR_SIPI);
	assert_int_equal(processors[1].state, ONLINE);
	assert_int_equal(processors[1].index, 1);
	assert_int_equal(arch_cpu(1)->apic_id, 9);
}

static void one_that_is_not_fit_is_left_out(void **state)
{
	(void)state;
	expect_left_out((struct processor){.id = 7, .unfit = true});
	expect_left_out((struct processor){.id = 7, .other_state = true});
}

/* The boot processor is none of those that ACPI lists first: the last of them has no place. */
static void the_boot_processor_counts_wherever_it_is_listed(void **state)
{
	(void)state;
	fake_machine_start(MIB(1), 1);
	acpi = (struct acpi_info){.cpu_count = MAX_CPUS, .cpus_ignored = 1};
	processor_count = MAX_CPUS;
	for (unsigned i = 0; i < MAX_CPUS; i++) {
		acpi.apic_ids[i] = i + 1;
		processors[i] = (struct processor){.id = i + 1};
	}
	online = counted = 1;
	assert_int_equal(smp_prepare(), 0);
	assert_int_equal(arch_start_other_cpus(), MAX_CPUS);
	assert_int_equal(processors[MAX_CPUS - 2].index, MAX_CPUS - 1);
	assert_int_equal(processors[MAX_CPUS - 1].state, WAITS_FOR_SIPI);
	assert_int_equal(processors[MAX_CPUS - 1].resets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_come),
		cmocka_unit_test(one_that_is_not_fit_is_left_out),
		cmocka_unit_test(the_boot_processor_counts_wherever_it_is_listed),
		cmocka_unit_test(one_comes_at_any_time),
	};

	return cmocka_run_group_tests_name("smp", tests, NULL, NULL);
}
