/*
 * The bench guest: how much a round trip into the hypervisor takes, as a guest sees it. Each figure
 * is the median of many rdtsc-to-rdtsc times, less the median of the same loop without the
 * instruction that exits. Where the TSC counts instructions (Bochs; QEMU with -icount shift=0), so
 * do the figures.
 *
 * A put, a get and a nested fault also move a whole page. The routines that do so
 * (arch/x86/pages.S) are linked into this guest too and timed in the same run, so that what they
 * cost can be told apart; the runner subtracts it and names it.
 */
#include "../litmus/litmus.h"
#include "bench.h"

#define BLOCK (2u << 20)

#define MSR_APIC_BASE    0x1b
#define UART_LINE_STATUS 0x3fd

/*
 * One timed run of @instruction. RAX and RDX are loaded between the two readings, since rdtsc
 * destroys them; that is part of the empty loop too.
 */
#define DEFINE_TIMED(name, instruction)                                                            \
	uint64_t time_##name(struct registers *r)                                                  \
	{                                                                                          \
		register uint64_t r8 __asm__("r8") = r->r8;                                        \
		register uint64_t r10 __asm__("r10") = r->r10;                                     \
		register uint64_t r13 __asm__("r13") = r->rax;                                     \
		register uint64_t r14 __asm__("r14") = r->rdx;                                     \
		uint64_t ticks, rcx = r->rcx, rdi = r->rdi, rsi = r->rsi;                          \
                                                                                                   \
		__asm__ volatile(                                                                  \
			"rdtsc\n\tshl $32, %%rdx\n\tor %%rax, %%rdx\n\tmov %%rdx, %%r15\n\t"       \
			"mov %%r13, %%rax\n\tmov %%r14, %%rdx\n\t" instruction "\n\t"              \
			"mov %%rax, %%r13\n\trdtsc\n\tshl $32, %%rdx\n\t"                          \
			"or %%rdx, %%rax\n\tsub %%r15, %%rax"                                      \
			: "=a"(ticks), "+r"(r13), "+c"(rcx), "+D"(rdi), "+S"(rsi), "+r"(r8),       \
			"+r"(r10)                                                                  \
			: "r"(r14)                                                                 \
			: "rbx", "rdx", "r9", "r11", "r12", "r15", "memory", "cc");                \
		r->rax = r13;                                                                      \
		return ticks;                                                                      \
	}

DEFINE_TIMED(nothing, "")
DEFINE_TIMED(vmcall, "vmcall")
DEFINE_TIMED(vmmcall, "vmmcall")
DEFINE_TIMED(cpuid, "cpuid")
DEFINE_TIMED(rdmsr, "rdmsr")
DEFINE_TIMED(inb, "inb %%dx, %%al")
DEFINE_TIMED(store, "movb $1, (%%rdi)")
DEFINE_TIMED(copy_page, "call arch_copy_page")
DEFINE_TIMED(clear_page, "call arch_clear_page")
DEFINE_TIMED(filter, "call filtered_get")

uint64_t samples[SAMPLES];

uint64_t median(void)
{
	for (unsigned i = 1; i < SAMPLES; i++) {
		uint64_t value = samples[i];
		unsigned at = i;

		for (; at > 0 && samples[at - 1] > value; at--)
			samples[at] = samples[at - 1];
		samples[at] = value;
	}
	return samples[SAMPLES / 2];
}

uint64_t empty_loop;

/* The median of @time with the same @registers again and again. */
static uint64_t measure(timed *time, const struct registers *registers)
{
	for (unsigned i = 0; i < SAMPLES; i++) {
		struct registers r = *registers;

		samples[i] = time(&r);
	}
	return median() - empty_loop;
}

void report(const char *name, uint64_t value)
{
	print("bench: ");
	print_value(name, value);
}

/* Pages that the hypervisor can only map one by one: RAM ends inside of a 2 MiB block. */
static bool measure_nested_fault(const struct start_info *info)
{
	const struct memory_map_entry *map = (const void *)(uintptr_t)info->memory_map;
	uint64_t end = 0, first;

	for (uint32_t i = 0; i < info->memory_map_entries; i++)
		if (map[i].type == 1 && map[i].address + map[i].bytes < (1u << 30))
			end = map[i].address + map[i].bytes;
	first = end & ~(uint64_t)(BLOCK - 1);
	if (end < first + (SAMPLES + 1) * PAGE)
		return false;
	/* The first also builds the block's table. */
	*(volatile char *)(uintptr_t)first = 1;
	for (unsigned i = 0; i < SAMPLES; i++) {
		struct registers r = {.rdi = first + (i + 1) * PAGE};

		samples[i] = time_store(&r);
	}
	report("nested_fault", median() - empty_loop);
	return true;
}

static char page[PAGE] __attribute__((aligned(PAGE)));
static char other_page[PAGE] __attribute__((aligned(PAGE)));

/* With words that differ: pages of one word throughout are stored apart. */
static void fill_page(void)
{
	for (unsigned i = 0; i < PAGE; i++)
		page[i] = (char)(i * 7 + i / 256);
}

/* SAMPLES calls of one tmem hypercall, one index each; false if a result differs from @expected. */
static bool measure_tmem(const char *name, uint64_t number, int64_t pool, int64_t expected)
{
	timed *time = guest_uses_vmmcall() ? time_vmmcall : time_vmcall;

	for (unsigned i = 0; i < SAMPLES; i++) {
		struct registers r = {
			.rax = number,
			.rdi = TMEM_HANDLE(pool, i),
			.rsi = 0x1234,
			.r8 = (uintptr_t)page / PAGE,
		};

		samples[i] = time(&r);
		if ((int64_t)r.rax != expected)
			return false;
	}
	report(name, median() - empty_loop);
	return true;
}

static enum step measure_all_tmem(void)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);

	if (pool < 0)
		return NO_POOL;
	fill_page();
	/* Once for what grows with the first pages, once to be measured. */
	for (unsigned round = 0; round < 2; round++) {
		if (!measure_tmem(round ? "tmem_put" : "tmem_put_first_round", HYPERCALL_TMEM_PUT,
			    pool, 0))
			return BAD_PUT;
		if (!measure_tmem(round ? "tmem_get_hit" : "tmem_get_hit_first_round",
			    HYPERCALL_TMEM_GET, pool, 0))
			return BAD_GET;
	}
	if (!measure_tmem("tmem_get_miss", HYPERCALL_TMEM_GET, pool, -SLUICE_ENOENT))
		return BAD_MISS;
	return ALL_RIGHT;
}

/* Pages of zeros, in a pool of their own. */
static enum step measure_zeros(void)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);
	enum step step = ALL_RIGHT;

	if (pool < 0)
		return NO_POOL;
	arch_clear_page(page);
	for (unsigned round = 0; !step && round < 2; round++) {
		if (!measure_tmem(round ? "tmem_put_zero" : "tmem_put_zero_first_round",
			    HYPERCALL_TMEM_PUT, pool, 0))
			step = BAD_PUT;
		else if (!measure_tmem(
				 round ? "tmem_get_hit_zero" : "tmem_get_hit_zero_first_round",
				 HYPERCALL_TMEM_GET, pool, 0))
			step = BAD_GET;
	}
	fill_page();
	return step;
}

/* Where the manifest has the store look at keys only: what that costs a guest. */
static enum step measure_keys(void)
{
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);

	if (pool < 0)
		return NO_POOL;
	if (!measure_tmem("tmem_put_keys_only", HYPERCALL_TMEM_PUT, pool, -SLUICE_ENOSPC))
		return BAD_PUT;
	if (!measure_tmem("tmem_get_keys_only", HYPERCALL_TMEM_GET, pool, -SLUICE_ENOENT))
		return BAD_MISS;
	return ALL_RIGHT;
}

#define FILTER_OBJECT 0x1234

static struct window window;
static uint64_t object_sum;

/* A get of a page that the filter knows to be absent, by its index: what a guest does instead of
 * the hypercall. Its object is known beforehand. */
bool filtered_get(uint32_t index);
bool filtered_get(uint32_t index)
{
	return tmem_filter_surely_lacks(window.at, object_sum, index);
}

/* In a pool of its own, so that the figures of pools without a filter stay what they are. */
static enum step measure_filter(void)
{
	const uint64_t object[3] = {FILTER_OBJECT, 0, 0};
	int64_t pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 0, 0);

	if (pool < 0)
		return NO_POOL;
	if (window_open(&window, pool))
		return BAD_FILTER;
	object_sum = tmem_filter_object(window.key, object);
	for (unsigned round = 0; round < 2; round++) {
		if (!measure_tmem(round ? "tmem_put_with_filter" : "tmem_put_filter_first_round",
			    HYPERCALL_TMEM_PUT, pool, 0))
			return BAD_PUT;
		if (!measure_tmem(
			    round ? "tmem_get_hit_with_filter" : "tmem_get_filter_first_round",
			    HYPERCALL_TMEM_GET, pool, 0))
			return BAD_GET;
	}
	for (unsigned i = 0; i < SAMPLES; i++) {
		struct registers r = {.rdi = i};

		samples[i] = time_filter(&r);
		if (!(uint8_t)r.rax && !tmem_filter_is_sampled(window.at, object_sum, i))
			return BAD_FILTER;
	}
	report("tmem_get_miss_filtered", median() - empty_loop);
	return ALL_RIGHT;
}

int main(const struct start_info *info)
{
	enum step step;
	timed *hypercall = guest_uses_vmmcall() ? time_vmmcall : time_vmcall;

	if (!guest_on_sluice())
		return NOT_SLUICE;
	/* Nothing that is timed below may fault for the first time. */
	arch_clear_page(page);
	arch_copy_page(other_page, page);

	empty_loop = measure(time_nothing, &(struct registers){0});
	report("empty_loop", empty_loop);
	if (info->command_line && *(const char *)(uintptr_t)info->command_line) {
		char way = *(const char *)(uintptr_t)info->command_line;

		if (way == 'p')
			return (int)measure_all_tmem();
		return (int)(way == 'k' ? measure_keys() : measure_flip(way == 'f'));
	}
	report("copy_page",
		measure(time_copy_page,
			&(struct registers){.rdi = (uintptr_t)other_page, .rsi = (uintptr_t)page}));
	report("clear_page",
		measure(time_clear_page, &(struct registers){.rdi = (uintptr_t)other_page}));
	report("null_hypercall", measure(hypercall, &(struct registers){.rax = HYPERCALL_NULL}));
	report("cpuid", measure(time_cpuid, &(struct registers){.rax = 1}));
	report("msr", measure(time_rdmsr, &(struct registers){.rcx = MSR_APIC_BASE}));
	report("port_io", measure(time_inb, &(struct registers){.rdx = UART_LINE_STATUS}));
	if (!measure_nested_fault(info))
		return NO_RAM;
	step = measure_all_tmem();
	if (!step)
		step = measure_zeros();
	return step ? (int)step : (int)measure_filter();
}
