/*
 * The IOAPIC, MSRs, CPUID, ports and HLT of a guest's PC, on three vCPUs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/kvmclock.h"
#include "arch/x86/guest/steal_time.h"
#include "fake/pc_guest.h"

/* ---- IOAPIC
 * --------------------------------------------------------------------------------------- */

static void route(unsigned pin, u64 entry)
{
	ioapic_write(vm, 0, 0x11 + 2 * pin);
	ioapic_write(vm, 0x10, (u32)(entry >> 32));
	ioapic_write(vm, 0, 0x10 + 2 * pin);
	ioapic_write(vm, 0x10, (u32)entry);
}

static u32 entry_low(unsigned pin)
{
	ioapic_write(vm, 0, 0x10 + 2 * pin);
	return ioapic_read(vm, 0x10);
}

static void ioapic_registers(void **state)
{
	(void)state;
	ioapic_write(vm, 0, 1);
	assert_int_equal(ioapic_read(vm, 0x10), 0x170020);
	for (unsigned pin = 0; pin < PLATFORM_IOAPIC_PINS; pin++)
		assert_int_equal(entry_low(pin), BIT(16));
	route(23, 0x05ffffffffffffff);
	ioapic_write(vm, 0, 0x10 + 2 * 23);
	assert_int_equal(ioapic_read(vm, 0x10), 0x1afff); /* read-only and reserved bits stay */
	ioapic_write(vm, 0, 0x40);                        /* behind the last entry */
	ioapic_write(vm, 0x10, 0);
	assert_int_equal(ioapic_read(vm, 0x10), 0);
	assert_int_equal(ioapic_read(vm, 0x44), 0);
	ioapic_write(vm, 0xffc, 1);
}

static void edge(void **state)
{
	(void)state;
	enable_all();
	ioapic_raise(vm, 5); /* masked: lost */
	route(5, 2UL << 56 | 0x51);
	expect_pending(-1, -1, -1);
	ioapic_raise(vm, 5);
	expect_pending(-1, -1, 0x51);
	ioapic_raise(vm, 5); /* each call is an edge, lowered or not */
	expect_pending(-1, -1, 0x51);
	route(5, 0xffUL << 56 | 0x52);
	ioapic_raise(vm, 5);
	expect_pending(0x52, 0x52, 0x52);
	route(5, 3UL << 56 | BIT(11) | 0x53); /* logical: vCPUs 0 and 1 */
	ioapic_raise(vm, 5);
	expect_pending(0x53, 0x53, -1);
	route(5, 1UL << 56 | 5 << 8); /* INIT by a line is not done */
	ioapic_raise(vm, 5);
	assert_int_equal(inits[1], 0);
}

static void level(void **state)
{
	(void)state;
	enable_all();
	route(7, 1UL << 56 | BIT(15) | 0x61);
	ioapic_raise(vm, 7);
	take(1, 0x61);
	assert_int_equal(entry_low(7), BIT(15) | BIT(14) | 0x61);
	assert_int_equal(get(1, X2(TMR) + 3), BIT(1));
	ioapic_raise(vm, 7);
	set(1, X2(EOI), 0); /* still high: at once again */
	take(1, 0x61);
	ioapic_lower(vm, 7);
	set(1, X2(EOI), 0);
	assert_int_equal(lapic_pending(&vcpus[1]), -1);
	assert_int_equal(entry_low(7), BIT(15) | 0x61);
	/* High while masked: comes with the unmasking. */
	route(7, 1UL << 56 | BIT(16) | BIT(15) | 0x61);
	ioapic_raise(vm, 7);
	assert_int_equal(lapic_pending(&vcpus[1]), -1);
	route(7, 1UL << 56 | BIT(15) | 0x61);
	take(1, 0x61);
	/* An edge-triggered interrupt of the same vector leaves the pin alone. */
	ioapic_write(vm, 0x40, 0x61);
	assert_int_equal(entry_low(7), BIT(15) | BIT(14) | 0x61);
	ioapic_lower(vm, 7);
	ioapic_write(vm, 0x40, 0x61);
	assert_int_equal(entry_low(7), BIT(15) | 0x61);
}

/* ---- HLT
 * ------------------------------------------------------------------------------------------ */

static void halt_waits(void **state)
{
	(void)state;
	enable_all();
	vcpus[0].wake_pending = true; /* from an interrupt that was delivered long ago */
	vcpu_halt(&vcpus[0], true);
	assert_int_equal(blocks[0], 1);
	assert_false(vcpus[0].wake_pending);
	lapic_raise(&vcpus[0], 0x40, false);
	assert_int_equal(wakes[0], 1);
	vcpu_halt(&vcpus[0], true); /* something to take: no sleep */
	assert_int_equal(blocks[0], 1);
	vcpus[1].lapic->waits_for_sipi = vcpus[2].lapic->waits_for_sipi = false;
	vcpu_halt(&vcpus[0], false); /* it cannot be taken: sleep */
	assert_int_equal(blocks[0], 2);
	lapic_raise(&vcpus[0], 0x50, false);
	assert_int_equal(wakes[0], 1); /* does not end a HLT with interrupts off */
	set(1, X2(ICR), 4 << 8);       /* an NMI does */
	assert_int_equal(wakes[0], 2);
	assert_int_equal(vm->stop_reason, STOP_NONE);
}

static void all_halted(void **state)
{
	(void)state;
	vcpus[1].lapic->waits_for_sipi = false;
	vcpu_halt(&vcpus[1], false);
	assert_int_equal(vm->stop_reason, STOP_NONE);
	vcpu_halt(&vcpus[0], false); /* vCPU 2 never started */
	assert_int_equal(vm->stop_reason, STOP_ALL_HALTED);
}

static void last_one_inits_itself(void **state)
{
	(void)state;
	set(0, X2(ICR), 1UL << 18 | 5 << 8);
	assert_int_equal(vm->stop_reason, STOP_ALL_HALTED);
}

/* ---- CPUID, MSRs, ports
 * ----------------------------------------------------------------------------- */

static void cpuid_leaves(void **state)
{
	struct cpuid_result r = cpuid_of(&vcpus[1], 1, 0);

	(void)state;
	assert_int_equal(r.ebx >> 24, 1);
	assert_int_equal(r.ebx >> 16 & 0xff, VCPUS);
	assert_int_equal(r.ecx & (BIT(21) | BIT(24) | BIT(31)), BIT(21) | BIT(24) | BIT(31));
	/* MONITOR, VMX, SMX, FMA, PDCM, PCID, XSAVE, OSXSAVE, AVX; MCE, MTRR, MCA, DS. */
	assert_int_equal(r.ecx & (BIT(3) | BIT(5) | BIT(6) | BIT(12) | BIT(15) | BIT(17) | BIT(26) |
					 BIT(27) | BIT(28)),
		0);
	assert_int_equal(r.edx & (BIT(7) | BIT(12) | BIT(14) | BIT(21)), 0);
	assert_int_equal(r.edx & BIT(28), BIT(28));
	assert_int_equal(cpuid_of(&vcpus[0], 6, 0).eax, BIT(2));
	r = cpuid_of(&vcpus[0], 7, 0);
	assert_int_equal(r.ebx & (BIT(1) | BIT(5) | BIT(10) | BIT(16)), 0);
	assert_int_equal(r.ecx, 0);
	r = cpuid_of(&vcpus[0], 7, 1);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = cpuid_of(&vcpus[2], 0xb, 1);
	assert_int_equal(r.eax, 2);
	assert_int_equal(r.ebx, VCPUS);
	assert_int_equal(r.edx, 2);
	assert_int_equal(cpuid_of(&vcpus[0], 0xb, 2).ecx, 2);
	r = cpuid_of(&vcpus[0], 0xa, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = cpuid_of(&vcpus[0], 0xd, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	assert_int_equal(cpuid_of(&vcpus[0], 0x80000007, 0).edx, BIT(8));
	assert_int_equal(cpuid_of(&vcpus[0], 0x80000001, 0).ecx & BIT(2), 0);  /* SVM */
	assert_int_equal(cpuid_of(&vcpus[0], 0x80000001, 0).edx & BIT(27), 0); /* RDTSCP */
	r = cpuid_of(&vcpus[0], 0x8000000a, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = cpuid_of(&vcpus[0], KVM_CPUID_SIGNATURE, 0);
	assert_memory_equal(&r.ebx, "KVMKVMKVM\0\0\0", 12);
	/* PV EOI, steal time, kvmclock, its stable bit, and that no port needs to be waited
	 * for. */
	assert_int_equal(cpuid_of(&vcpus[0], KVM_CPUID_SIGNATURE + 1, 0).eax,
		1u << 24 | 1u << 6 | 1u << 5 | 1u << 3 | 1u << 1);
	assert_int_equal(cpuid_of(&vcpus[0], HV_CPUID_TIMING, 0).eax, 1000000);
	r = cpuid_of(&vcpus[0], SLUICE_CPUID_SIGNATURE, 0);
	assert_memory_equal(&r.ebx, "SluiceSluice", 12);
	/* tmem is off, and the tables are EPT's */
	assert_int_equal(cpuid_of(&vcpus[0], SLUICE_CPUID_FEATURES, 0).ebx,
		SLUICE_FEATURE_VOLATILE | SLUICE_FEATURE_VE);
	vcpus[0].regs[RAX] = 0xdeadbeef00000000;
	vcpus[0].regs[RCX] = ~0UL;
	cpuid_emulate(&vcpus[0]);
	assert_int_equal(vcpus[0].regs[RAX], 0x16);
	assert_int_equal(vcpus[0].regs[RCX] >> 32, 0);
}

static void msr_table(void **state)
{
	u64 value;

	(void)state;
	for (unsigned i = 0; i < msr_rule_count; i++) {
		assert_true(msr_rules[i].first <= msr_rules[i].last);
		if (i > 0)
			assert_true(msr_rules[i].first > msr_rules[i - 1].last);
		assert_int_equal(msr_class_of(msr_rules[i].first), msr_rules[i].class);
		assert_int_equal(msr_class_of(msr_rules[i].last), msr_rules[i].class);
	}
	assert_int_equal(msr_class_of(0), MSR_FAULT);
	assert_int_equal(msr_class_of(0xffffffff), MSR_FAULT);
	assert_int_equal(msr_class_of(MSR_LSTAR), MSR_PASS);
	assert_int_equal(msr_class_of(MSR_EFER), MSR_VENDOR);
	assert_int_equal(get(0, 0x1a0) & 1, 1); /* fast strings */
	assert_int_equal(get(0, 0x8b), 0);
	set(0, 0x8b, 7);
	assert_int_equal(get(0, 0x8b), 0);
	assert_int_equal(msr_read(&vcpus[0], 0x480, &value), BAD); /* VMX capabilities */
	refuses(0, 0x480, 0);
	refuses(0, 0xc0010114, 0);
	refuses(0, 0x4b564d02, 1); /* asynchronous page faults are not offered */
	assert_true(get(0, 0x10) < fake_tsc + 2);
}

/* Whatever a guest writes there, only its own RAM changes, and only what is there. */
static void kvmclock_in_guest_memory(void **state)
{
	static const u32 msrs[] = {
		MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK, MSR_KVM_STEAL_TIME, MSR_KVM_STEAL_TIME};
	static const u64 masks[] = {~0ul, ~0ul, ~0ul, ~(u64)STEAL_TIME_RESERVED};
	struct kvmclock_time time;
	u64 random = 1;

	(void)state;
	set(1, MSR_KVM_SYSTEM_TIME, (MIB(1) - sizeof(time)) | KVM_SYSTEM_TIME_ON);
	assert_int_equal(memory_read(vm, gpa(MIB(1) - sizeof(time)), &time, sizeof(time)), 0);
	assert_int_equal(time.version, 2);
	assert_int_equal(time.tsc_timestamp, vm->started_at);
	refuses(0, MSR_KVM_SYSTEM_TIME, (MIB(1) - sizeof(time) + 4) | KVM_SYSTEM_TIME_ON);
	refuses(0, MSR_KVM_SYSTEM_TIME, PLATFORM_VIRTIO_BASE | KVM_SYSTEM_TIME_ON);
	refuses(0, MSR_KVM_WALL_CLOCK, PLATFORM_HOLE_END);
	/* What is in the balloon is not RAM, and is not brought back. */
	assert_int_equal(memory_inflate(vm, gfn(5), 0), 0);
	refuses(0, MSR_KVM_SYSTEM_TIME, 5 * PAGE_SIZE | KVM_SYSTEM_TIME_ON);
	refuses(0, MSR_KVM_SYSTEM_TIME, (5 * PAGE_SIZE - 8) | KVM_SYSTEM_TIME_ON);
	assert_int_equal(vm->memory.ballooned_pages, 1);
	for (unsigned i = 0; i < 20000; i++) {
		random = random * 6364136223846793005 + 1442695040888963407;
		/* A few bits and many. */
		(void)msr_write(&vcpus[i % VCPUS], msrs[i % 4], random >> (i % 64) & masks[i % 4]);
		steal_time_turn(&vcpus[i % VCPUS]);
	}
	assert_int_equal(vm->memory.ballooned_pages, 1);
	assert_true(vm->memory.populated_pages <= MIB(1) / PAGE_SIZE - 1);
}

static void steal_time_in_guest_memory(void **state)
{
	struct vcpu *vcpu = &vcpus[1];
	struct steal_time area;
	u64 populated;

	(void)state;
	steal_time_turn(vcpu); /* off: nothing */
	assert_int_equal(vm->memory.populated_pages, 0);
	vcpu->waited_ticks = 5000;
	set(1, MSR_KVM_STEAL_TIME, (7 * PAGE_SIZE - 64) | STEAL_TIME_ON);
	assert_int_equal(memory_read(vm, gpa(7 * PAGE_SIZE - 64), &area, sizeof(area)), 0);
	assert_int_equal(area.steal, 5000); /* the fake machine's TSC counts nanoseconds */
	assert_int_equal(area.version, 2);
	vcpu->waited_ticks = 1000000000;
	steal_time_turn(vcpu);
	assert_int_equal(memory_read(vm, gpa(7 * PAGE_SIZE - 64), &area, sizeof(area)), 0);
	assert_int_equal(area.steal, 1000000000);
	assert_int_equal(area.version, 4);
	assert_int_equal(area.flags, 0);
	assert_int_equal(area.preempted, 0);
	/* Bad values change nothing. */
	for (u64 bit = 2; bit < 64; bit *= 2)
		refuses(1, MSR_KVM_STEAL_TIME, 3 * PAGE_SIZE | bit | STEAL_TIME_ON);
	refuses(1, MSR_KVM_STEAL_TIME, MIB(1) | STEAL_TIME_ON);
	refuses(1, MSR_KVM_STEAL_TIME, PLATFORM_VIRTIO_BASE | STEAL_TIME_ON);
	refuses(1, MSR_KVM_STEAL_TIME, ~0ul << 6 | STEAL_TIME_ON);
	assert_int_equal(vcpu->steal_time_at, (7 * PAGE_SIZE - 64) | STEAL_TIME_ON);
	/* A page that went to the balloon is not written, and does not come back by itself. */
	assert_int_equal(memory_inflate(vm, gfn(6), 0), 0);
	populated = vm->memory.populated_pages;
	steal_time_turn(vcpu);
	assert_int_equal(vm->memory.populated_pages, populated);
	assert_int_equal(vm->memory.ballooned_pages, 1);
	refuses(2, MSR_KVM_STEAL_TIME, 6 * PAGE_SIZE | STEAL_TIME_ON);
	/* When it is back it gets a frame by the guest's touch alone, and is written again then. */
	assert_int_equal(memory_deflate(vm, gfn(6), 0), 0);
	steal_time_turn(vcpu);
	assert_int_equal(vm->memory.populated_pages, populated);
	assert_int_equal(memory_read(vm, gpa(7 * PAGE_SIZE - 64), &area, sizeof(area)), 0);
	assert_int_equal(area.version, 0);
	steal_time_turn(vcpu);
	assert_int_equal(memory_read(vm, gpa(7 * PAGE_SIZE - 64), &area, sizeof(area)), 0);
	assert_int_equal(area.steal, 1000000000);
	assert_int_equal(area.version, 2);
	/* A page that was reported stays away, and no turn finds the guest short of frames. */
	assert_int_equal(memory_report(vm, gfn(6), 0), 0);
	populated = vm->memory.populated_pages;
	steal_time_turn(vcpu);
	assert_int_equal(vm->memory.populated_pages, populated);
	assert_int_equal(vm->memory.reported_pages, 1);
	assert_false(memory_is_short(vm));
	set(1, MSR_KVM_STEAL_TIME, (7 * PAGE_SIZE - 64) | STEAL_TIME_ON);
	assert_int_equal(vm->memory.reported_pages, 0);
	assert_int_equal(memory_read(vm, gpa(7 * PAGE_SIZE - 64), &area, sizeof(area)), 0);
	assert_int_equal(area.steal, 1000000000);
	set(1, MSR_KVM_STEAL_TIME, 0);
	vcpu->waited_ticks = 1;
	steal_time_turn(vcpu);
	assert_int_equal(memory_read(vm, gpa(7 * PAGE_SIZE - 64), &area, sizeof(area)), 0);
	assert_int_equal(area.steal, 1000000000);
}

static u32 in(u16 port, unsigned size)
{
	u32 value = 0x12345678;

	port_io(&vcpus[0], port, size, false, &value);
	return value;
}

static void out(u16 port, unsigned size, u32 value)
{
	port_io(&vcpus[0], port, size, true, &value);
}

static void ports(void **state)
{
	(void)state;
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	assert_int_equal(in(0x80, 1), 0xff);
	assert_int_equal(in(0xcf8, 2), 0xffff);
	out(0xcf8, 4, 0x80000000);
	out(0x70, 1, 0x0a);
	assert_int_equal(in(0x71, 1) & 0x80, 0); /* UIP */
	assert_int_equal(
		in(0xffff, 4), 0xffffff00 | in(0xffff, 1)); /* wraps to port 0, unclaimed */
	out(0x600, 1, 0x1f);
	assert_int_equal(vm->stop_reason, STOP_NONE);
	out(0x600, 1, 0x20);
	assert_int_equal(vm->stop_reason, STOP_POWER_OFF);
}

static void reset_port(void **state)
{
	(void)state;
	out(0x64, 1, 0xff);
	assert_int_equal(vm->stop_reason, STOP_NONE);
	out(0x64, 1, 0xfe);
	assert_int_equal(vm->stop_reason, STOP_RESET);
}

static void uart(void **state)
{
	(void)state;
	enable_all();
	route(PLATFORM_UART_GSI, 0x71);
	assert_int_equal(in(0x3fd, 1), 0x60);
	out(0x3f8, 1, 'h');
	out(0x3fb, 1, 0x83); /* the divisor is no text */
	out(0x3f8, 1, 1);
	out(0x3f9, 1, 0);
	assert_int_equal(in(0x3f8, 1), 1);
	out(0x3fb, 1, 3);
	out(0x3f8, 1, 'i');
	assert_int_equal(console_bytes, 2);
	assert_memory_equal(console, "hi", 2);
	expect_pending(-1, -1, -1);
	assert_int_equal(in(0x3fa, 1), 1);
	out(0x3fa, 1, 1);
	assert_int_equal(in(0x3fa, 1), 0xc1); /* FIFOs: a 16550A */
	out(0x3f9, 1, 2);
	expect_pending(0x71, -1, -1);
	assert_int_equal(in(0x3fa, 1), 0xc2);
	assert_int_equal(in(0x3fa, 1), 0xc1); /* reading it took it */
	out(0x3f8, 1, '!');
	expect_pending(0x71, -1, -1);
	out(0x3ff, 1, 0x5a);
	assert_int_equal(in(0x3ff, 1), 0x5a);
	/* Loopback: nothing goes out, the outputs come back as inputs. */
	out(0x3fc, 1, 0x1a);
	out(0x3f8, 1, 'x');
	assert_int_equal(console_bytes, 3);
	assert_int_equal(in(0x3fe, 1), 0x90);
}

static void uart_input(void **state)
{
	char many[300] = "";

	(void)state;
	enable_all();
	route(PLATFORM_UART_GSI, 0x71);
	assert_false(uart_guest_listens(vm));
	assert_int_equal(uart_guest_input(vm, "abc", 3), 3);
	expect_pending(-1, -1, -1); /* nobody asked for it */
	assert_int_equal(in(0x3fd, 1), 0x61);
	assert_int_equal(in(0x3f8, 1), 'a');
	out(0x3f9, 1, 1);
	assert_true(uart_guest_listens(vm));
	expect_pending(0x71, -1, -1);
	assert_int_equal(in(0x3fa, 1), 4);
	assert_int_equal(in(0x3fa, 1), 4); /* until it is read */
	assert_int_equal(in(0x3f8, 1), 'b');
	expect_pending(0x71, -1, -1); /* there is more */
	assert_int_equal(in(0x3f8, 1), 'c');
	expect_pending(-1, -1, -1);
	assert_int_equal(in(0x3fa, 1), 1);
	assert_int_equal(in(0x3fd, 1), 0x60);
	assert_int_equal(in(0x3f8, 1), 0);
	/* It comes before the empty transmitter. */
	out(0x3f9, 1, 3);
	expect_pending(0x71, -1, -1);
	assert_int_equal(uart_guest_input(vm, "d", 1), 1);
	assert_int_equal(in(0x3fa, 1), 4);
	assert_int_equal(in(0x3f8, 1), 'd');
	assert_int_equal(in(0x3fa, 1), 2);
	/* What does not fit is not taken; clearing the FIFO makes room. */
	assert_int_equal(uart_guest_input(vm, many, sizeof(many)), UART_INPUT_BYTES);
	assert_int_equal(uart_guest_input(vm, many, 1), 0);
	out(0x3fa, 1, 3);
	assert_int_equal(in(0x3fd, 1), 0x60);
	assert_int_equal(uart_guest_input(vm, "e", 1), 1);
	assert_int_equal(in(0x3f8, 1), 'e');
}

int main(void)
{
#define PC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		PC_TEST(ioapic_registers),
		PC_TEST(edge),
		PC_TEST(level),
		PC_TEST(halt_waits),
		PC_TEST(all_halted),
		PC_TEST(last_one_inits_itself),
		PC_TEST(cpuid_leaves),
		PC_TEST(msr_table),
		PC_TEST(kvmclock_in_guest_memory),
		PC_TEST(steal_time_in_guest_memory),
		PC_TEST(ports),
		PC_TEST(reset_port),
		PC_TEST(uart),
		PC_TEST(uart_input),
	};

	return cmocka_run_group_tests_name("pc", tests, NULL, NULL);
}
