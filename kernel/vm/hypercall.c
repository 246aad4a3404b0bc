/*
 * The hypercalls: numbers to services. Every argument is hostile until checked here or in the
 * engine that gets it. Nothing takes a lock before the null call has returned.
 */
#include "kernel/vm/hypercall.h"

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "kernel/core/log.h"
#include "kernel/vm/balloon_control.h"
#include "kernel/vm/flip.h"
#include "kernel/vm/memory.h"
#include "kernel/vm/memory_ve.h"
#include "kernel/vm/memory_volatile.h"
#include "kernel/vm/tmem_control.h"
#include "kernel/vm/vm.h"
#include "kernel/vm/window.h"
#include "tmem/tmem.h"

/* What one CONSOLE_WRITE takes at most; the guest calls again for the rest. */
#define CONSOLE_WRITE_MAX 1024

static struct tmem_handle handle_of(u64 handle, u64 object0, u64 object1, u64 object2)
{
	return (struct tmem_handle){
		.object = {object0, object1, object2},
		.index = (u32)(handle >> 32),
		.pool = (s32)(u32)handle,
	};
}

static struct tmem_handle handle_in_registers(const struct vcpu *vcpu)
{
	return handle_of(vcpu->regs[RDI], vcpu->regs[RSI], vcpu->regs[RDX], vcpu->regs[R10]);
}

/* There is no frame for a page that the call needs: the vCPU blocks, and makes the call again. */
static __attribute__((noinline)) s64 wait_for_memory(struct vcpu *vcpu)
{
	memory_wait(vcpu);
	return -SLUICE_EAGAIN;
}

static COLD __attribute__((noinline)) s64 console_write(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	u64 from = vcpu->regs[RDI];
	u64 left = MIN(vcpu->regs[RSI], (u64)CONSOLE_WRITE_MAX);
	s64 taken = 0;
	char bytes[128];

	while (left) {
		unsigned count = (unsigned)MIN(left, (u64)sizeof(bytes));
		unsigned written;
		int error = memory_read(vm, gpa(from), bytes, count);

		if (error == -SLUICE_ENOMEM && !taken)
			return wait_for_memory(vcpu);
		if (error)
			return taken ? taken : -SLUICE_EFAULT;
		written = guest_console_write(vm->console, bytes, count);
		taken += written;
		if (written < count)
			break;
		from += count;
		left -= count;
	}
	return taken;
}

/* -EAGAIN if there is no frame for the page: nothing was done then. */
static s64 put_or_get(struct vm *vm, u64 op, const struct tmem_handle *handle, u64 frame)
{
	void *page = memory_page(vm, gfn(frame));

	if (unlikely(!page) && memory_lacks_frame(vm, gfn(frame)))
		return -SLUICE_EAGAIN;
	return op == HYPERCALL_TMEM_PUT ? tmem_put(vm->tmem, handle, page)
					: tmem_get(vm->tmem, handle, page);
}

static s64 batch_entry(struct vm *vm, const struct tmem_batch_entry *entry)
{
	struct tmem_handle handle = handle_of(
		entry->handle, entry->object[0], entry->object[1], entry->object[2]);

	if (entry->zero[0] || entry->zero[1])
		return -SLUICE_EINVAL;
	switch (entry->op) {
	case HYPERCALL_TMEM_PUT:
	case HYPERCALL_TMEM_GET:
		return put_or_get(vm, entry->op, &handle, entry->gfn);
	case HYPERCALL_TMEM_FLUSH_PAGE:
		return tmem_flush_page(vm->tmem, &handle);
	default:
		return -SLUICE_EINVAL;
	}
}

/*
 * Entries are 64-byte aligned, so that none crosses a frame. The frames of all entries worked on
 * are looked up before the first has an effect. Each entry is read once, since the guest may change
 * it meanwhile.
 */
static __attribute__((noinline)) s64 batch(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	u64 start = vcpu->regs[RDI];
	u64 count = MIN(vcpu->regs[RSI], (u64)TMEM_BATCH_MAX);
	u64 end = start + count * sizeof(struct tmem_batch_entry);

	if (vcpu->regs[RSI] == 0 || start % sizeof(struct tmem_batch_entry))
		return -SLUICE_EINVAL;
	if (end < start)
		return -SLUICE_EFAULT;
	for (u64 page = start >> PAGE_SHIFT; page <= (end - 1) >> PAGE_SHIFT; page++)
		if (!memory_page(vm, gfn(page)))
			return memory_lacks_frame(vm, gfn(page)) ? wait_for_memory(vcpu)
								 : -SLUICE_EFAULT;

	for (u64 done = 0; done < count; done++) {
		u64 at = start + done * sizeof(struct tmem_batch_entry);
		char *page = memory_page(vm, gfn(at >> PAGE_SHIFT));
		struct tmem_batch_entry *shared;
		struct tmem_batch_entry entry;
		s64 result;

		if (!page) /* another vCPU took it away: what is done is done */
			return (s64)done;
		shared = (struct tmem_batch_entry *)(page + (at & PAGE_MASK));
		entry = *(volatile struct tmem_batch_entry *)shared;
		result = batch_entry(vm, &entry);
		if (unlikely(result == -SLUICE_EAGAIN))
			return done ? (s64)done : wait_for_memory(vcpu);
		WRITE_ONCE(shared->result, (s32)result);
	}
	return (s64)count;
}

static __attribute__((noinline)) s64 flip_call(struct vcpu *vcpu, u64 number)
{
	const bool put = number == HYPERCALL_TMEM_PUT_FLIP;
	struct tmem_handle handle;
	s64 result;

	if (number == HYPERCALL_FLIP_DECLARE)
		return flip_declare(vcpu, vcpu->regs[RDI], vcpu->regs[RSI]);
	if (number == HYPERCALL_FLIP_UNDECLARE)
		return flip_undeclare(vcpu, vcpu->regs[RDI], vcpu->regs[RSI]);
	handle = handle_in_registers(vcpu);
	result = put ? flip_put(vcpu, &handle, vcpu->regs[R8])
		     : flip_get(vcpu, &handle, vcpu->regs[R8]);
	if (result != FLIP_BY_COPY)
		return result;
	result = put_or_get(
		vcpu->vm, put ? HYPERCALL_TMEM_PUT : HYPERCALL_TMEM_GET, &handle, vcpu->regs[R8]);
	return result == -SLUICE_EAGAIN ? wait_for_memory(vcpu) : result;
}

/* The calls of tmem, without those that a guest has no store for. */
static s64 tmem_call(struct vcpu *vcpu, u64 number)
{
	struct vm *vm = vcpu->vm;
	struct tmem_client *tmem = vm->tmem;
	struct tmem_handle handle;
	void *page;

	if (unlikely(!tmem))
		return -SLUICE_ENOSYS;
	switch (number) {
	case HYPERCALL_TMEM_PUT:
		handle = handle_in_registers(vcpu);
		page = memory_page(vm, gfn(vcpu->regs[R8]));
		if (unlikely(!page) && memory_lacks_frame(vm, gfn(vcpu->regs[R8])))
			return wait_for_memory(vcpu);
		return tmem_put(tmem, &handle, page);
	case HYPERCALL_TMEM_GET:
		handle = handle_in_registers(vcpu);
		page = memory_page(vm, gfn(vcpu->regs[R8]));
		if (unlikely(!page) && memory_lacks_frame(vm, gfn(vcpu->regs[R8])))
			return wait_for_memory(vcpu);
		return tmem_get(tmem, &handle, page);
	case HYPERCALL_TMEM_FLUSH_PAGE:
		handle = handle_in_registers(vcpu);
		return tmem_flush_page(tmem, &handle);
	case HYPERCALL_TMEM_FLUSH_OBJECT:
		handle = handle_in_registers(vcpu);
		return tmem_flush_object(tmem, &handle);
	case HYPERCALL_TMEM_BATCH:
		return batch(vcpu);
	case HYPERCALL_FLIP_DECLARE ... HYPERCALL_TMEM_GET_FLIP:
		return flip_call(vcpu, number);
	case HYPERCALL_TMEM_FILTER:
		return window_open(vm, vcpu->regs[RDI], gpa(vcpu->regs[RSI]));
	case HYPERCALL_TMEM_POOL_NEW:
		return tmem_pool_create(tmem, vcpu->regs[RDI], vcpu->regs[RSI], vcpu->regs[RDX]);
	case HYPERCALL_TMEM_POOL_DESTROY:
		return tmem_pool_destroy(tmem, (s64)vcpu->regs[RDI]);
	default:
		return -SLUICE_ENOSYS;
	}
}

static __attribute__((noinline)) enum outcome serve(struct vcpu *vcpu, u64 number)
{
	s64 result;

	switch (number) {
	case HYPERCALL_CONSOLE_WRITE:
		result = console_write(vcpu);
		break;
	case HYPERCALL_SHUTDOWN:
		vm_stop(vcpu->vm, STOP_SHUTDOWN, vcpu->regs[RDI]);
		return DONE;
	case HYPERCALL_TMEM_GUEST ... HYPERCALL_TMEM_ABANDON:
		result = tmem_control(vcpu, number);
		break;
	case HYPERCALL_BALLOON_POLICY:
		result = balloon_control(vcpu);
		break;
	case HYPERCALL_VOLATILE_REGISTER:
	case HYPERCALL_VOLATILE_UNREGISTER:
		result = memory_volatile_call(vcpu, number);
		break;
	case HYPERCALL_VOLATILE_VE:
		result = memory_ve_call(vcpu);
		break;
	default:
		result = tmem_call(vcpu, number);
		break;
	}
	if (result == -SLUICE_EAGAIN)
		return RESTART;
	vcpu->regs[RAX] = (u64)result;
	return DONE;
}

enum outcome hypercall(struct vcpu *vcpu, bool allowed)
{
	u64 number = vcpu->regs[RAX];

	/* Before anything that needs a stack frame: what a round trip costs at least. */
	if (likely(allowed)) {
		if (number != HYPERCALL_NULL)
			return serve(vcpu, number);
		vcpu->regs[RAX] = 0;
		return DONE;
	}
	vcpu->regs[RAX] = (u64)-SLUICE_EPERM;
	return DONE;
}
