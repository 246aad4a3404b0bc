/*
 * Two vCPUs: vCPU 0 starts vCPU 1 by INIT and SIPI, interrupts go both ways in every mode, each has
 * a timer, the IOAPIC reaches both, and vCPU 1 is started a second time. What main() returns is the
 * number of the step that went wrong; 0 means that all were right.
 */
#include "machine.h"

#include "../vectors/wide.h"

#include <abi/platform.h>

#define TRAMPOLINE 0x8000u
#define ROUNDS     200u
#define STACK      8192

extern uint8_t trampoline[], trampoline_end[];
extern uint64_t trampoline_cr3, trampoline_stack, trampoline_entry;

enum step {
	ALL_RIGHT,
	BAD_CPUID,
	NOT_STARTED,
	BAD_ID,
	NO_PING_PONG,
	NO_NMI,
	NO_LOGICAL,
	NO_BROADCAST,
	NO_SELF_IPI,
	BAD_PRIORITY,
	NO_ONE_SHOT,
	BAD_CURRENT_COUNT,
	NO_DEADLINE,
	NO_PERIODIC,
	NO_EDGE,
	NO_LEVEL,
	NO_RESTART,
	BAD_VECTORS,
};

static uint8_t second_stack[STACK] __attribute__((aligned(16)));
static volatile uint32_t started, second_id, periodic_wanted, periodic_done;
static volatile uint32_t bad_vectors;   /* times that vCPU 1 did not find its own */
static struct wide values[2], found[2]; /* by vCPU: nothing but they use vector registers */

/* Different values on each vCPU, in all that there is; INIT changes no vector register and no XCR0.
 */
static bool load_vectors(unsigned id, uint64_t xcr0, enum wide_level *level)
{
	*level = wide_enable(xcr0);
	if (*level == WIDE_BAD)
		return false;
	if (id == 0 || started == 0)
		wide_fill(&values[id], id + 1, *level);
	else
		wide_store(&found[id], *level);
	if (id == 1 && started > 0 && !wide_equal(&values[id], &found[id]))
		return false;
	wide_load(&values[id], *level);
	return true;
}

static bool has_vectors(unsigned id, enum wide_level level)
{
	wide_store(&found[id], level);
	return wide_equal(&values[id], &found[id]);
}

/* vCPU 1: sleeps; answers each ping; runs a periodic timer when asked. */
static void second_main(void)
{
	enum wide_level level;

	machine_start_vcpu();
	second_id = (uint32_t)rdmsr(X2APIC_ID);
	if (!load_vectors(1, started ? wide_states() : 1, &level))
		bad_vectors++;
	started++;
	for (uint32_t answered = received[1][VECTOR_PING];;) {
		sleep_once();
		while (answered != received[1][VECTOR_PING]) {
			answered++;
			if (!has_vectors(1, level))
				bad_vectors++;
			wrmsr(X2APIC_ICR, ICR_TO(0) | VECTOR_PING);
		}
		if (periodic_wanted && !periodic_done) {
			uint32_t before = received[1][VECTOR_TIMER];

			wrmsr(X2APIC_TIMER_DIVIDE, 0xb); /* by 1 */
			wrmsr(X2APIC_LVT_TIMER, LVT_PERIODIC | VECTOR_TIMER);
			wrmsr(X2APIC_TIMER_INITIAL, (uint32_t)ticks_per_ms());
			while (received[1][VECTOR_TIMER] < before + 5)
				sleep_once();
			wrmsr(X2APIC_TIMER_INITIAL, 0);
			wrmsr(X2APIC_LVT_TIMER, LVT_MASKED);
			periodic_done = 1;
		}
	}
}

static void send(uint64_t icr)
{
	wrmsr(X2APIC_ICR, icr);
}

static bool start_second(void)
{
	uint32_t before = started;

	__asm__ volatile("mov %%cr3, %0" : "=r"(trampoline_cr3));
	trampoline_stack = (uintptr_t)second_stack + STACK;
	trampoline_entry = (uintptr_t)second_main;
	memcpy((void *)(uintptr_t)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
	send(ICR_TO(1) | ICR_INIT);
	send(ICR_TO(1) | ICR_SIPI | TRAMPOLINE >> 12);
	send(ICR_TO(1) | ICR_SIPI | TRAMPOLINE >> 12); /* ignored: it runs already */
	return wait_for(&started, before + 1);
}

static enum step check_cpuid(void)
{
	struct cpuid_result one = cpuid(1, 0), core = cpuid(0xb, 1);

	if (one.ebx >> 24 != 0 || (one.ebx >> 16 & 0xff) != 2 || !(one.ecx & 1u << 21) ||
		!(one.ecx & 1u << 24) || !(one.ecx & 1u << 31) || !(one.edx & 1u << 28))
		return BAD_CPUID;
	/* What is hidden: VMX, MONITOR; MCE, MTRR, MCA. */
	if (one.ecx & (1u << 5 | 1u << 3) || one.edx & (1u << 7 | 1u << 12 | 1u << 14))
		return BAD_CPUID;
	if (core.ebx != 2 || core.eax != 1 || (core.ecx >> 8 & 0xff) != 2 || core.edx != 0)
		return BAD_CPUID;
	return ALL_RIGHT;
}

static enum step check_messages(void)
{
	uint32_t self = received[0][VECTOR_SELF];
	enum wide_level level;

	if (!load_vectors(0, 1, &level))
		return BAD_VECTORS;
	interrupts_on();
	for (uint32_t n = 1; n <= ROUNDS; n++) {
		send(ICR_TO(1) | VECTOR_PING);
		if (!wait_for(&received[0][VECTOR_PING], n))
			return NO_PING_PONG;
		if (!has_vectors(0, level))
			return BAD_VECTORS;
	}
	send(ICR_TO(1) | ICR_NMI);
	if (!wait_for(&received[1][VECTOR_NMI], 1))
		return NO_NMI;
	/* Cluster 0, bit 1. */
	send(ICR_TO(2) | ICR_LOGICAL | VECTOR_PING);
	if (!wait_for(&received[0][VECTOR_PING], ROUNDS + 1))
		return NO_LOGICAL;
	send(ICR_OTHERS | VECTOR_PING);
	if (!wait_for(&received[0][VECTOR_PING], ROUNDS + 2))
		return NO_BROADCAST;
	send(ICR_TO(0xffffffff) | VECTOR_SELF);
	if (!wait_for(&received[0][VECTOR_SELF], self + 1) ||
		!wait_for(&received[1][VECTOR_SELF], 1))
		return NO_BROADCAST;
	wrmsr(X2APIC_SELF_IPI, VECTOR_SELF);
	if (!wait_for(&received[0][VECTOR_SELF], self + 2))
		return NO_SELF_IPI;
	interrupts_off();
	return ALL_RIGHT;
}

/* An interrupt waits while CR8 or IF forbids it, and comes right after. */
static enum step check_priority(void)
{
	uint32_t before = received[0][VECTOR_SELF];

	set_cr8(VECTOR_SELF >> 4);
	interrupts_on();
	wrmsr(X2APIC_SELF_IPI, VECTOR_SELF);
	if (received[0][VECTOR_SELF] != before)
		return BAD_PRIORITY;
	set_cr8(0);
	if (!wait_for(&received[0][VECTOR_SELF], before + 1))
		return BAD_PRIORITY;
	interrupts_off();
	wrmsr(X2APIC_SELF_IPI, VECTOR_SELF);
	if (received[0][VECTOR_SELF] != before + 1)
		return BAD_PRIORITY;
	sleep_once();
	return received[0][VECTOR_SELF] == before + 2 ? ALL_RIGHT : BAD_PRIORITY;
}

static enum step check_timers(void)
{
	uint32_t before = received[0][VECTOR_TIMER], count;
	uint64_t start = rdtsc(), ms = ticks_per_ms();

	wrmsr(X2APIC_TIMER_DIVIDE, 0x1); /* by 4 */
	wrmsr(X2APIC_LVT_TIMER, VECTOR_TIMER);
	wrmsr(X2APIC_TIMER_INITIAL, (uint32_t)(5 * ms / 4));
	count = (uint32_t)rdmsr(X2APIC_TIMER_CURRENT);
	/* Zero is right only if the host took so long that the time is over. */
	if (count > 5 * ms / 4 || (count == 0 && rdtsc() - start < 5 * ms))
		return BAD_CURRENT_COUNT;
	while (received[0][VECTOR_TIMER] == before)
		sleep_once();
	if (rdtsc() - start < 5 * ms || rdmsr(X2APIC_TIMER_CURRENT) != 0)
		return NO_ONE_SHOT;

	start = rdtsc();
	wrmsr(X2APIC_LVT_TIMER, LVT_DEADLINE | VECTOR_TIMER);
	wrmsr(MSR_TSC_DEADLINE, start + 3 * ms);
	if (rdmsr(MSR_TSC_DEADLINE) != start + 3 * ms && rdtsc() < start + 3 * ms)
		return NO_DEADLINE;
	while (received[0][VECTOR_TIMER] == before + 1)
		sleep_once();
	if (rdtsc() < start + 3 * ms || rdmsr(MSR_TSC_DEADLINE) != 0)
		return NO_DEADLINE;
	wrmsr(MSR_TSC_DEADLINE, 1); /* the past: at once */
	sleep_once();
	if (received[0][VECTOR_TIMER] != before + 3)
		return NO_DEADLINE;

	periodic_wanted = 1;
	send(ICR_TO(1) | VECTOR_SELF); /* wakes it */
	return wait_for(&periodic_done, 1) ? ALL_RIGHT : NO_PERIODIC;
}

/* The UART's line, by the interrupt of its empty transmitter, to vCPU 1 and then to vCPU 0. */
static enum step check_lines(void)
{
	uint32_t before = received[0][VECTOR_LINE];

	ioapic_route(PLATFORM_UART_GSI, VECTOR_LINE, 1, false);
	outb(PLATFORM_UART_PORT + 1, 0x02);
	if (!wait_for(&received[1][VECTOR_LINE], 1))
		return NO_EDGE;
	outb(PLATFORM_UART_PORT + 1, 0);
	ioapic_route(PLATFORM_UART_GSI, VECTOR_LINE, 0, true);
	interrupts_on();
	outb(PLATFORM_UART_PORT + 1, 0x02);
	if (!wait_for(&received[0][VECTOR_LINE], before + 1))
		return NO_LEVEL;
	interrupts_off();
	/* After the EOI the remote IRR is clear, and the next request gets through. */
	if (ioapic_entry(PLATFORM_UART_GSI) & 1u << 14)
		return NO_LEVEL;
	outb(PLATFORM_UART_PORT + 1, 0);
	outb(PLATFORM_UART_PORT + 1, 0x02);
	sleep_once();
	outb(PLATFORM_UART_PORT + 1, 0);
	ioapic_mask(PLATFORM_UART_GSI);
	return received[0][VECTOR_LINE] == before + 2 ? ALL_RIGHT : NO_LEVEL;
}

static enum step restart_second(void)
{
	uint32_t pings = received[0][VECTOR_PING];

	if (!start_second() || started != 2)
		return NO_RESTART;
	interrupts_on();
	send(ICR_TO(1) | VECTOR_PING);
	if (!wait_for(&received[0][VECTOR_PING], pings + 1))
		return NO_RESTART;
	interrupts_off();
	return bad_vectors ? BAD_VECTORS : ALL_RIGHT;
}

static enum step run(void)
{
	enum step (*const steps[])(void) = {
		check_messages, check_priority, check_timers, check_lines, restart_second};
	enum step result = check_cpuid();

	if (result)
		return result;
	machine_map_devices();
	machine_start_vcpu();
	if (!start_second())
		return NOT_STARTED;
	if (second_id != 1 || rdmsr(X2APIC_ID) != 0 || rdmsr(X2APIC_LDR) != 1)
		return BAD_ID;
	print("smp guest: vcpu 1 runs\n");
	for (unsigned n = 0; n < sizeof(steps) / sizeof(steps[0]); n++) {
		result = steps[n]();
		if (result)
			return result;
	}
	return ALL_RIGHT;
}

int main(const struct start_info *info)
{
	enum step result;

	(void)info;
	if (!guest_on_sluice())
		return BAD_CPUID;
	print("smp guest: started\n");
	result = run();
	if (result == ALL_RIGHT)
		print("smp guest: done\n");
	else
		print_value("smp guest: failed at step", result);
	return (int)result;
}
