/*
 * Fetches instructions through a guest's own page tables. Another vCPU may change tables and code
 * meanwhile: what comes back is what stood there, and nothing here depends on it.
 */
#include "arch/x86/guest/fetch.h"

#include <abi/errno.h>

#include "arch/x86/guest/walk.h"
#include "arch/x86/processor.h"
#include "kernel/vm/memory.h"

/* A walk, and whether it met a table that is not RAM. */
struct fetch {
	struct vm *vm;
	bool outside_ram;
};

static bool read_table(void *argument, u64 address, void *to, unsigned bytes)
{
	struct fetch *fetch = argument;

	int error = memory_read(fetch->vm, gpa(address), to, bytes);

	fetch->outside_ram = error == -SLUICE_EFAULT;
	return error == 0;
}

enum code_size guest_code_size(const struct vcpu_context *context)
{
	if ((context->efer & EFER_LMA) && context->cs_long)
		return CODE_64;
	return context->cs_default_32 ? CODE_32 : CODE_16;
}

static unsigned fetch_bytes(
	struct vcpu *vcpu, unsigned offset, u8 *to, unsigned count, bool *outside_ram)
{
	const struct vcpu_context *context = &vcpu->context;
	struct walk_mode mode = {context->cr0, context->cr3, context->cr4, context->efer};
	struct fetch fetch = {vcpu->vm, false};
	u64 linear = context->cs_base + context->rip + offset;
	unsigned bytes;
	u64 address;
	int error;

	if (guest_code_size(context) != CODE_64)
		linear = (u32)linear;
	bytes = (unsigned)MIN((u64)count, PAGE_SIZE - (linear & PAGE_MASK));
	if (!guest_walk(&mode, linear, read_table, &fetch, &address)) {
		*outside_ram = fetch.outside_ram;
		return 0;
	}
	error = memory_read(vcpu->vm, gpa(address), to, bytes);
	*outside_ram = error == -SLUICE_EFAULT;
	return error ? 0 : bytes;
}

unsigned guest_fetch(struct vcpu *vcpu, unsigned offset, u8 *to, unsigned count)
{
	bool outside_ram;

	return fetch_bytes(vcpu, offset, to, count, &outside_ram);
}

bool guest_code_is_outside_ram(struct vcpu *vcpu, unsigned offset)
{
	bool outside_ram;
	u8 byte;

	return fetch_bytes(vcpu, offset, &byte, 1, &outside_ram) == 0 && outside_ram;
}
