/*
 * The machine of hosted tests (fake/machine.h): what arch.h, log.h and bug.h promise, over one big
 * mapping. The mapping is 1 GiB aligned, so that large pages are aligned in it as on real RAM.
 */
#include "fake/machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/x86/port.h"
#include "kernel/core/bug.h"
#include "kernel/core/log.h"

u8 *fake_ram;
__thread struct cpu *fake_cpu;
unsigned fake_kicks[MAX_CPUS];
u64 fake_pages_cleared, fake_pages_copied;
bool fake_clear_skip;
u64 fake_tsc, fake_copy_ticks;
char fake_log_last[512];
char fake_log_text[65536];
unsigned fake_log_lines, fake_log_errors;
jmp_buf *fake_bug_expected;
char fake_bug_message[512];

char fake_console[65536];
unsigned fake_console_bytes;
u64 fake_console_ticks;

static struct cpu cpus[MAX_CPUS];
static unsigned cpu_count;
static struct boot_info info;
static bool sealed;
static void *mapping;
static size_t mapping_bytes;

void fake_machine_start_ranges(const u64 (*ranges)[2], unsigned count, unsigned cpu_total)
{
	u64 end = 0;

	fake_machine_stop();
	memset(&info, 0, sizeof(info));
	info.command_line = "";
	for (unsigned i = 0; i < count; i++) {
		info.ram[i] = (struct boot_range){{ranges[i][0]}, ranges[i][1]};
		end = ranges[i][0] + ranges[i][1];
	}
	info.ram_count = count;
	mapping_bytes = end + GIB(1);
	mapping = mmap(NULL, mapping_bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapping == MAP_FAILED) {
		perror("mmap");
		abort();
	}
	fake_ram = (u8 *)ROUND_UP((u64)mapping, GIB(1));
	sealed = false;
	cpu_count = cpu_total;
	memset(cpus, 0, sizeof(cpus));
	memset(fake_kicks, 0, sizeof(fake_kicks));
	for (unsigned i = 0; i < cpu_total; i++) {
		cpus[i].self = &cpus[i];
		cpus[i].index = cpus[i].apic_id = i;
	}
	fake_pages_cleared = fake_pages_copied = 0;
	fake_copy_ticks = 0;
	fake_clear_skip = false;
	fake_console_bytes = 0;
	fake_console_ticks = 0;
	fake_log_reset();
	fake_run_as(0);
}

void fake_machine_start(u64 bytes, unsigned cpu_total)
{
	const u64 range[1][2] = {{0, bytes}};

	fake_machine_start_ranges(range, 1, cpu_total);
}

void fake_machine_use(u64 start, u64 bytes)
{
	unsigned at = info.used_count++;

	while (at > 0 && info.used[at - 1].start.raw > start) {
		info.used[at] = info.used[at - 1];
		at--;
	}
	info.used[at] = (struct boot_range){{start}, bytes};
}

void fake_machine_stop(void)
{
	if (mapping)
		munmap(mapping, mapping_bytes);
	mapping = NULL;
	fake_ram = NULL;
}

void fake_run_as(unsigned index)
{
	fake_cpu = &cpus[index];
}

struct cpu *arch_cpu(unsigned index)
{
	return &cpus[index];
}

unsigned arch_cpu_count(void)
{
	return cpu_count;
}

void arch_kick(unsigned index)
{
	fake_kicks[index]++;
	cpus[index].events |= CPU_EVENT_KICK;
}

u64 arch_tsc(void)
{
	return ++fake_tsc;
}

u64 arch_tsc_hz(void)
{
	return 1000000000;
}

bool arch_tsc_is_synchronous(void)
{
	return true;
}

/* The machine started at the turn of the century. */
u64 arch_wall_clock(u64 tsc)
{
	return 946684800000000000 + tsc;
}

bool fake_entropy_is_poor;
u64 fake_entropy_words;

bool arch_entropy(u64 *word)
{
	static u64 state = 1;

	state = state * 6364136223846793005 + 1442695040888963407;
	*word = state ^ state >> 29;
	fake_entropy_words++;
	return !fake_entropy_is_poor;
}

u64 fake_timer_deadline;
bool fake_timer_armed;

void arch_timer_arm(u64 deadline)
{
	fake_timer_deadline = deadline;
	fake_timer_armed = true;
}

bool arch_timer_is_armed(void)
{
	return fake_timer_armed;
}

struct xsave_layout fake_xsave;
u64 fake_xcr0 = XCR0_RESET;

const struct xsave_layout *arch_xsave(void)
{
	return &fake_xsave;
}

u64 arch_xcr0(void)
{
	return fake_xcr0;
}

void arch_xcr0_set(u64 value)
{
	fake_xcr0 = value;
}

void arch_copy_page(void *to, const void *from)
{
	memcpy(to, from, PAGE_SIZE);
	fake_pages_copied++;
	fake_tsc += fake_copy_ticks;
}

void arch_copy_page_away(void *to, const void *from)
{
	arch_copy_page(to, from);
}

void arch_clear_page(void *page)
{
	if (!fake_clear_skip)
		memset(page, 0, PAGE_SIZE);
	__atomic_fetch_add(&fake_pages_cleared, 1, __ATOMIC_RELAXED);
}

const struct boot_info *boot_info(void)
{
	return &info;
}

/* From the top of the highest range, below what is used at its end. */
void *arch_early_alloc(u64 bytes, u64 align)
{
	if (sealed)
		return NULL;
	bytes = ROUND_UP(bytes, PAGE_SIZE);
	for (unsigned r = info.ram_count; r-- > 0;) {
		u64 bottom = info.ram[r].start.raw;
		u64 top = bottom + info.ram[r].bytes;

		for (unsigned u = info.used_count; u-- > 0;) {
			u64 used = info.used[u].start.raw;
			u64 end = used + info.used[u].bytes;

			if (end == top)
				top = used;
			else if (end < top)
				bottom = MAX(bottom, end);
		}
		if (top < bottom + bytes || (top - bytes) / align * align < bottom)
			continue;
		top = (top - bytes) / align * align;
		fake_machine_use(top, bytes);
		return memset(fake_ram + top, 0, bytes);
	}
	return NULL;
}

void arch_early_seal(void)
{
	sealed = true;
}

void fake_log_reset(void)
{
	fake_log_last[0] = fake_log_text[0] = '\0';
	fake_log_lines = fake_log_errors = 0;
}

void log_line(int level, const char *format, ...)
{
	size_t length = strlen(fake_log_text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fake_log_last, sizeof(fake_log_last), format, arguments);
	va_end(arguments);
	snprintf(fake_log_text + length, sizeof(fake_log_text) - length, "%s\n", fake_log_last);
	fake_log_lines++;
	fake_log_errors += level == 0;
	if (getenv("UNIT_LOG"))
		printf("    log: %s\n", fake_log_last);
}

/* A test may bring its own. */
__attribute__((weak)) unsigned guest_console_write(
	struct guest_console *console, const char *bytes, unsigned count)
{
	(void)console;
	fake_tsc += fake_console_ticks;
	for (unsigned i = 0; i < count && fake_console_bytes < sizeof(fake_console); i++)
		fake_console[fake_console_bytes++] = bytes[i];
	return count;
}

void log_flush(void)
{
}

void bug(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fake_bug_message, sizeof(fake_bug_message), format, arguments);
	va_end(arguments);
	if (fake_bug_expected)
		longjmp(*fake_bug_expected, 1);
	fprintf(stderr, "BUG at %s:%d: %s\n", file, line, fake_bug_message);
	abort();
}
