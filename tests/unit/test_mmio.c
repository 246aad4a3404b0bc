/*
 * Accesses to device memory as a whole: code fetched from guest memory through the guest's page
 * tables, decoded, and carried out on devices that are this test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "arch/x86/guest/platform.h"
#include "arch/x86/processor.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/virtio/device.h"

#define GUEST_RAM MIB(2)
#define CODE      0x8000u
#define CR3       0x1000u
#define DEVICE    (PLATFORM_VIRTIO_BASE + 0x1070u)

static struct vm *vm;
static struct vcpu vcpu;
static struct guest_config config;
static u64 reads, writes, last_offset, last_value, answer;
static unsigned last_size;

u64 virtio_mmio_read(struct vm *of, u32 offset, unsigned size)
{
	assert_ptr_equal(of, vm);
	reads++;
	last_offset = offset;
	last_size = size;
	return answer;
}

void virtio_mmio_write(struct vm *of, u32 offset, unsigned size, u64 value)
{
	assert_ptr_equal(of, vm);
	writes++;
	last_offset = offset;
	last_size = size;
	last_value = value;
}

u32 ioapic_read(struct vm *of, u32 offset)
{
	return (u32)virtio_mmio_read(of, offset, 4);
}

void ioapic_write(struct vm *of, u32 offset, u32 value)
{
	virtio_mmio_write(of, offset, 4, value);
}

static void put64(u64 address, u64 value)
{
	assert_int_equal(memory_write(vm, gpa(address), &value, sizeof(value)), 0);
}

/* 64-bit code; linear 0 to 2 MiB is mapped to itself by 4 KiB pages. */
static int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(32), 1);
	epoch_quiescent(epoch_now());
	vm = fake_vm(0);
	strcpy(config.name, "web");
	vm->config = &config;
	assert_int_equal(memory_create(vm, GUEST_RAM, &fake_ept), 0);
	put64(CR3, 0x2000 | 3);
	put64(0x2000, 0x3000 | 3);
	put64(0x3000, 0x4000 | 3);
	for (unsigned i = 0; i < 512; i++)
		put64(0x4000 + i * 8, i * PAGE_SIZE | 3);
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.vm = vm;
	vcpu.context = (struct vcpu_context){
		.rip = CODE,
		.rflags = RFLAGS_FIXED,
		.cr0 = CR0_PE | CR0_PG,
		.cr3 = CR3,
		.cr4 = CR4_PAE,
		.efer = EFER_LME | EFER_LMA,
		.cs_long = true,
	};
	for (unsigned i = 0; i < REGS; i++)
		vcpu.regs[i] = 0x1111111111111111UL * i;
	reads = writes = 0;
	answer = 0xa1a2a3a4a5a6a7a8;
	return 0;
}

static enum outcome run_at(u64 address, const char *code, unsigned bytes)
{
	assert_int_equal(memory_write(vm, gpa(vcpu.context.rip), code, bytes), 0);
	return mmio_emulate(&vcpu, gpa(address));
}

#define RUN(code) run_at(DEVICE, code, sizeof(code) - 1)

static void stores(void **state)
{
	(void)state;
	assert_int_equal(RUN("\x89\x0b"), DONE); /* mov %ecx, (%rbx) */
	assert_int_equal(vcpu.context.rip, CODE + 2);
	assert_int_equal(last_offset, 0x1070);
	assert_int_equal(last_size, 4);
	assert_int_equal(last_value, 0x11111111);
	assert_int_equal(RUN("\x88\x25\x00\x00\x00\x00"), DONE); /* mov %ah, 0(%rip) */
	assert_int_equal(last_value, 0);
	assert_int_equal(RUN("\x88\x2b"), DONE); /* mov %ch, (%rbx) */
	assert_int_equal(last_size, 1);
	assert_int_equal(last_value, 0x11);
	assert_int_equal(RUN("\x48\xc7\x03\xfe\xff\xff\xff"), DONE); /* movq $-2, (%rbx) */
	assert_int_equal(last_size, 8);
	assert_int_equal(last_value, -2UL);
	assert_int_equal(RUN("\x66\xc7\x03\x34\x12"), DONE); /* movw */
	assert_int_equal(last_value, 0x1234);
	assert_int_equal(RUN("\x44\x89\x3b"), DONE); /* mov %r15d, (%rbx) */
	assert_int_equal(last_value, 0xffffffff);
	assert_int_equal(RUN("\x0f\x38\xf1\x13"), DONE); /* movbe %edx, (%rbx) */
	assert_int_equal(last_value, 0x22222222);
	assert_int_equal(reads, 0);
	assert_int_equal(writes, 7);
}

static void loads(void **state)
{
	(void)state;
	assert_int_equal(RUN("\x8b\x0b"), DONE); /* mov (%rbx), %ecx: clears the upper half */
	assert_int_equal(vcpu.regs[RCX], 0xa5a6a7a8);
	assert_int_equal(RUN("\x66\x8b\x13"), DONE); /* mov (%rbx), %dx: keeps the rest */
	assert_int_equal(vcpu.regs[RDX], 0x222222222222a7a8);
	assert_int_equal(RUN("\x8a\x33"), DONE); /* mov (%rbx), %dh */
	assert_int_equal(vcpu.regs[RDX], 0x222222222222a8a8);
	assert_int_equal(RUN("\x40\x8a\x33"), DONE); /* mov (%rbx), %sil */
	assert_int_equal(vcpu.regs[RSI], 0x66666666666666a8);
	assert_int_equal(RUN("\x48\x8b\x3b"), DONE); /* mov (%rbx), %rdi */
	assert_int_equal(vcpu.regs[RDI], answer);
	assert_int_equal(RUN("\x0f\xb6\x03"), DONE); /* movzbl */
	assert_int_equal(vcpu.regs[RAX], 0xa8);
	assert_int_equal(RUN("\x48\x0f\xbe\x03"), DONE); /* movsbq */
	assert_int_equal(vcpu.regs[RAX], -0x58UL);
	assert_int_equal(RUN("\x48\x63\x03"), DONE); /* movslq */
	assert_int_equal(vcpu.regs[RAX], 0xffffffffa5a6a7a8);
	assert_int_equal(RUN("\x8b\x23"), DONE); /* mov (%rbx), %esp */
	assert_int_equal(vcpu.regs[RSP], 0xa5a6a7a8);
	assert_int_equal(RUN("\x0f\x38\xf0\x03"), DONE); /* movbe (%rbx), %eax */
	assert_int_equal(vcpu.regs[RAX], 0xa8a7a6a5);
	assert_int_equal(writes, 0);
}

static void arithmetic(void **state)
{
	(void)state;
	answer = 0x80;
	assert_int_equal(RUN("\xf6\x03\x80"), DONE);         /* testb $0x80, (%rbx) */
	assert_int_equal(vcpu.context.rflags & 0x8d5, 0x80); /* SF */
	assert_int_equal(RUN("\x83\x3b\x7f"), DONE);         /* cmpl $0x7f, (%rbx) */
	assert_int_equal(vcpu.context.rflags & 0x8d5, 0x10); /* AF */
	assert_int_equal(writes, 0);
	assert_int_equal(RUN("\xf0\x83\x0b\x01"), DONE); /* lock orl $1, (%rbx) */
	assert_int_equal(writes, 1);
	assert_int_equal(last_value, 0x81);
	vcpu.regs[RCX] = 0xff;
	assert_int_equal(RUN("\x23\x0b"), DONE); /* and (%rbx), %ecx */
	assert_int_equal(vcpu.regs[RCX], 0x80);
	assert_int_equal(writes, 1);
}

static void ioapic(void **state)
{
	(void)state;
	assert_int_equal(run_at(PLATFORM_IOAPIC_BASE + 0x10, "\x89\x03", 2), DONE);
	assert_int_equal(last_offset, 0x10);
	assert_int_equal(run_at(PLATFORM_IOAPIC_BASE, "\x8b\x03", 2), DONE);
	assert_int_equal(vcpu.regs[RAX], 0xa5a6a7a8);
}

static void other_modes(void **state)
{
	(void)state;
	/* 16 bit, no paging, CS base. */
	vcpu.context.cr0 = 0;
	vcpu.context.efer = 0;
	vcpu.context.cs_long = false;
	vcpu.context.cs_base = 0x10000;
	vcpu.context.rip = 0x20;
	assert_int_equal(
		memory_write(vm, gpa(0x10020), "\xa3\x34\x12", 3), 0); /* mov %ax, 0x1234 */
	assert_int_equal(mmio_emulate(&vcpu, gpa(DEVICE)), DONE);
	assert_int_equal(last_size, 2);
	assert_int_equal(vcpu.context.rip, 0x23);
	/* 32 bit. */
	vcpu.context.cs_default_32 = true;
	vcpu.context.cs_base = 0;
	vcpu.context.rip = CODE;
	assert_int_equal(RUN("\xa1\x78\x56\x34\x12"), DONE);
	assert_int_equal(last_size, 4);
	assert_int_equal(vcpu.context.rip, CODE + 5);
}

/* Behind the page border stands a page that is elsewhere in physical memory. */
static void across_a_page(void **state)
{
	(void)state;
	put64(0x4000 + 9 * 8, 0x20000 | 3);
	vcpu.context.rip = CODE + 0xffd;
	assert_int_equal(memory_write(vm, gpa(CODE + 0xffd), "\xc7\x03\x78", 3), 0);
	assert_int_equal(memory_write(vm, gpa(0x20000), "\x56\x34\x12", 3), 0);
	assert_int_equal(mmio_emulate(&vcpu, gpa(DEVICE)), DONE);
	assert_int_equal(last_value, 0x12345678);
	assert_int_equal(vcpu.context.rip, CODE + 0x1003);
	/* An instruction that ends there does not look behind it. */
	put64(0x4000 + 9 * 8, 0);
	vcpu.context.rip = CODE + 0xffe;
	assert_int_equal(RUN("\x89\x03"), DONE);
	/* One that does not, with the page unmapped: the processor will raise #PF. */
	vcpu.context.rip = CODE + 0xffe;
	assert_int_equal(RUN("\xc7\x03"), RESTART);
	assert_int_equal(vcpu.context.rip, CODE + 0xffe);
}

static void code_not_mapped(void **state)
{
	(void)state;
	vcpu.context.rip = 0x40000000;
	assert_int_equal(mmio_emulate(&vcpu, gpa(DEVICE)), RESTART);
	assert_int_equal(reads + writes, 0);
}

/* What could only be tried for ever is an end. */
static void code_in_a_device(void **state)
{
	(void)state;
	put64(0x4000 + 8 * 8, PLATFORM_VIRTIO_BASE | 3);
	vcpu.context.rip = 0x8000;
	assert_int_equal(mmio_emulate(&vcpu, gpa(PLATFORM_VIRTIO_BASE)), BAD);
	assert_non_null(strstr(fake_log_text, "code at RIP 0x8000"));
	put64(0x4000 + 8 * 8, 0x8000 | 3);
	put64(0x3000, PLATFORM_VIRTIO_BASE | 3); /* its page table */
	assert_int_equal(mmio_emulate(&vcpu, gpa(PLATFORM_VIRTIO_BASE)), BAD);
	vcpu.context.cr3 = PLATFORM_VIRTIO_BASE;
	assert_int_equal(mmio_emulate(&vcpu, gpa(PLATFORM_VIRTIO_BASE)), BAD);
	assert_int_equal(reads + writes, 0);
}

/* Its page, or a table, was taken and no frame is there: the processor will wait for one. */
static void code_that_lacks_a_frame(void **state)
{
	static const u64 taken[] = {CODE, 0x4000};
	static mfn_t kept[MIB(32) / PAGE_SIZE];
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(taken); i++) {
		assert_int_equal(memory_remove(vm, gpa_to_gfn(gpa(taken[i]))), 0);
		fake_limbo_empty();
		while (!mfn_is_none(kept[count] = frame_alloc(FRAME_DEVICE, 0, 0)))
			count++;
		assert_int_equal(mmio_emulate(&vcpu, gpa(DEVICE)), RESTART);
		assert_int_equal(reads + writes, 0);
		while (count > 0)
			frame_free(kept[--count], 0);
		assert_non_null(memory_page(vm, gpa_to_gfn(gpa(taken[i]))));
	}
}

static void nobody_lives_there(void **state)
{
	static const u64 addresses[] = {PLATFORM_VIRTIO_BASE - 1,
		PLATFORM_VIRTIO_BASE + PLATFORM_VIRTIO_SLOTS * PLATFORM_VIRTIO_STRIDE,
		PLATFORM_IOAPIC_BASE - 1, PLATFORM_IOAPIC_BASE + 0x1000, PLATFORM_LAPIC_BASE, ~0UL};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
		fake_log_reset();
		assert_int_equal(run_at(addresses[i], "\x89\x03", 2), BAD);
		assert_non_null(strstr(fake_log_text, "\"web\""));
	}
	assert_int_equal(reads + writes, 0);
}

static void no_mov(void **state)
{
	(void)state;
	assert_int_equal(RUN("\xff\x03"), BAD); /* incl (%rbx) */
	assert_int_equal(RUN("\xa5"), BAD);     /* movsl */
	assert_int_equal(RUN("\x0f\x0b"), BAD); /* ud2 */
	assert_int_equal(vcpu.context.rip, CODE);
	assert_non_null(strstr(fake_log_text, "none of those emulated"));
}

int main(void)
{
#define MMIO_TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		MMIO_TEST(stores),
		MMIO_TEST(loads),
		MMIO_TEST(arithmetic),
		MMIO_TEST(ioapic),
		MMIO_TEST(other_modes),
		MMIO_TEST(across_a_page),
		MMIO_TEST(code_not_mapped),
		MMIO_TEST(code_in_a_device),
		MMIO_TEST(code_that_lacks_a_frame),
		MMIO_TEST(nobody_lives_there),
		MMIO_TEST(no_mov),
	};

	return cmocka_run_group_tests_name("mmio", tests, NULL, NULL);
}
