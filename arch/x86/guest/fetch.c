/*
 * Fetches instructions through a guest's own page tables. Another vCPU may change tables and code
 * meanwhile: what comes back is what stood there, and nothing here depends on it.
 */
#include "arch/x86/guest/fetch.h"

#include "arch/x86/guest/walk.h"
#include "arch/x86/processor.h"
#include "kernel/vm/memory.h"

static bool read_table(void *argument, u64 address, void *to, unsigned bytes)
{
	struct vm *vm = argument;

	return memory_read(vm, gpa(address), to, bytes) == 0;
}

enum code_size guest_code_size(const struct vcpu_context *context)
{
	if ((context->efer & EFER_LMA) && context->cs_long)
		return CODE_64;
	return context->cs_default_32 ? CODE_32 : CODE_16;
}

unsigned guest_fetch(struct vcpu *vcpu, unsigned offset, u8 *to, unsigned count)
{
	const struct vcpu_context *context = &vcpu->context;
	struct walk_mode mode = {context->cr0, context->cr3, context->cr4, context->efer};
	u64 linear = context->cs_base + context->rip + offset;
	unsigned bytes;
	u64 address;

	if (guest_code_size(context) != CODE_64)
		linear = (u32)linear;
	bytes = (unsigned)MIN((u64)count, PAGE_SIZE - (linear & PAGE_MASK));
	if (!guest_walk(&mode, linear, read_table, vcpu->vm, &address) ||
		memory_read(vcpu->vm, gpa(address), to, bytes))
		return 0;
	return bytes;
}
