/*
 * Accesses to device memory: fetches the instruction through the guest's page tables, decodes it
 * and carries it out on the device behind the address. No lock is held but the devices' own.
 */
#include "arch/x86/guest/platform.h"

#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/fetch.h"
#include "arch/x86/guest/ioapic.h"
#include "arch/x86/processor.h"
#include "kernel/virtio/device.h"
#include <abi/platform.h>

#define VIRTIO_END (PLATFORM_VIRTIO_BASE + PLATFORM_VIRTIO_SLOTS * PLATFORM_VIRTIO_STRIDE)
#define IOAPIC_END (PLATFORM_IOAPIC_BASE + PAGE_SIZE)

static bool is_virtio(u64 address)
{
	return address >= PLATFORM_VIRTIO_BASE && address < VIRTIO_END;
}

static bool is_ioapic(u64 address)
{
	return address >= PLATFORM_IOAPIC_BASE && address < IOAPIC_END;
}

static u64 device_read(struct vm *vm, u64 address, unsigned bytes)
{
	if (is_virtio(address))
		return virtio_mmio_read(vm, (u32)(address - PLATFORM_VIRTIO_BASE), bytes);
	return ioapic_read(vm, (u32)(address - PLATFORM_IOAPIC_BASE));
}

static void device_write(struct vm *vm, u64 address, unsigned bytes, u64 value)
{
	if (is_virtio(address))
		virtio_mmio_write(vm, (u32)(address - PLATFORM_VIRTIO_BASE), bytes, value);
	else
		ioapic_write(vm, (u32)(address - PLATFORM_IOAPIC_BASE), (u32)value);
}

/* The second page is looked at only if the instruction needs it. *@count says how much was read. */
static enum decoded fetch_and_decode(
	struct vcpu *vcpu, struct instruction *instruction, unsigned *count)
{
	enum code_size size = guest_code_size(&vcpu->context);
	u8 bytes[INSTRUCTION_MAX];
	enum decoded result;

	*count = guest_fetch(vcpu, 0, bytes, sizeof(bytes));
	result = decode(bytes, *count, size, instruction);
	if (result == DECODE_TRUNCATED && *count > 0) {
		*count += guest_fetch(
			vcpu, *count, bytes + *count, (unsigned)sizeof(bytes) - *count);
		result = decode(bytes, *count, size, instruction);
	}
	return result;
}

static u64 mask_of(unsigned bytes)
{
	return bytes == 8 ? ~0UL : BIT(8 * bytes) - 1;
}

static u64 read_register(const struct vcpu *vcpu, const struct instruction *i)
{
	u64 value = vcpu->regs[i->reg];

	return (i->high_byte ? value >> 8 : value) & mask_of(i->register_bytes);
}

/* Writes of 32 bits clear the upper half, narrower ones keep the rest (Intel SDM vol. 1, 3.4.1.1).
 */
static void write_register(struct vcpu *vcpu, const struct instruction *i, u64 value)
{
	u64 *reg = &vcpu->regs[i->reg];
	u64 mask = mask_of(i->register_bytes);

	if (i->high_byte)
		*reg = (*reg & ~0xff00UL) | (value & 0xff) << 8;
	else if (i->register_bytes == 4)
		*reg = (u32)value;
	else
		*reg = (*reg & ~mask) | (value & mask);
}

static u64 source(const struct vcpu *vcpu, const struct instruction *i)
{
	return i->has_immediate ? i->immediate & mask_of(i->memory_bytes) : read_register(vcpu, i);
}

static u64 swap_bytes(u64 value, unsigned bytes)
{
	return __builtin_bswap64(value) >> (64 - 8 * bytes);
}

static u64 extend(const struct instruction *i, u64 value)
{
	unsigned shift = 64 - 8 * i->memory_bytes;

	if (i->swap)
		value = swap_bytes(value, i->memory_bytes);
	return i->sign_extend ? (u64)((s64)(value << shift) >> shift) : value;
}

static void execute_alu(struct vcpu *vcpu, const struct instruction *i, u64 address)
{
	u64 memory = device_read(vcpu->vm, address, i->memory_bytes) & mask_of(i->memory_bytes);
	u64 other = source(vcpu, i), flags = vcpu->context.rflags, result;

	if (i->to_memory)
		result = alu_compute(i->alu, memory, other, i->memory_bytes, &flags);
	else
		result = alu_compute(i->alu, other, memory, i->memory_bytes, &flags);
	vcpu->context.rflags = flags;
	if (i->alu >= ALU_CMP)
		return;
	if (i->to_memory)
		device_write(vcpu->vm, address, i->memory_bytes, result);
	else
		write_register(vcpu, i, result);
}

static void execute(struct vcpu *vcpu, const struct instruction *i, u64 address)
{
	struct vm *vm = vcpu->vm;
	u64 value;

	switch (i->kind) {
	case INSTRUCTION_LOAD:
		value = device_read(vm, address, i->memory_bytes) & mask_of(i->memory_bytes);
		write_register(vcpu, i, extend(i, value));
		break;
	case INSTRUCTION_STORE:
		value = source(vcpu, i);
		if (i->swap)
			value = swap_bytes(value, i->memory_bytes);
		device_write(vm, address, i->memory_bytes, value);
		break;
	case INSTRUCTION_ALU:
		execute_alu(vcpu, i, address);
		break;
	}
}

enum outcome mmio_emulate(struct vcpu *vcpu, gpa_t address)
{
	struct vcpu_context *context = &vcpu->context;
	struct instruction instruction;
	unsigned count;

	if (!is_virtio(address.raw) && !is_ioapic(address.raw)) {
		vm_complain(vcpu->vm,
			"access at %#lx from RIP %#lx, valid is RAM (%lu bytes), virtio at %#x to "
			"%#x, IOAPIC at %#x",
			address.raw, context->rip, vcpu->vm->memory.ram_pages * PAGE_SIZE,
			PLATFORM_VIRTIO_BASE, VIRTIO_END - 1, PLATFORM_IOAPIC_BASE);
		return BAD;
	}
	switch (fetch_and_decode(vcpu, &instruction, &count)) {
	case DECODED:
		break;
	case DECODE_TRUNCATED:
		if (guest_code_is_outside_ram(vcpu, count)) {
			vm_complain(vcpu->vm,
				"code at RIP %#lx, or its page tables, in device memory at %#lx",
				context->rip, address.raw);
			return BAD;
		}
		/* The page went away under another vCPU's hands: the processor will tell. */
		return RESTART;
	case DECODE_UNSUPPORTED:
		vm_complain(vcpu->vm,
			"instruction at RIP %#lx on device memory at %#lx is none of those "
			"emulated",
			context->rip, address.raw);
		return BAD;
	}
	execute(vcpu, &instruction, address.raw);
	context->rip += instruction.length;
	if (guest_code_size(context) != CODE_64)
		context->rip = (u32)context->rip;
	context->rflags &= ~RFLAGS_RF;
	return DONE;
}
