/*
 * Control of guests' tmem by a privileged guest. The guest that is named may end at any time: a
 * call counts itself in vm->tmem_users before it looks whether that guest is stopped, and the
 * client of a stopped guest is only given back once that count is 0.
 *
 * Guest memory is read and written with no lock held, through one page of the hypervisor's own, so
 * what the caller's other vCPUs write meanwhile changes nothing that was checked.
 */
#include "kernel/vm/tmem_control.h"

#include <string.h>

#include <abi/errno.h>
#include <abi/hypercall.h>
#include <abi/tmem_control.h>

#include "kernel/core/frame.h"
#include "kernel/vm/vm.h"

/* ---- The guest that is named -------------------------------------------------------- */

static void put_client(struct vm *vm)
{
	__atomic_fetch_sub(&vm->tmem_users, 1, __ATOMIC_SEQ_CST);
}

/* Keeps the guest's client from being given back until put_client(); false if it has none, or none
 * any more. */
static bool get_client(struct vm *vm)
{
	__atomic_fetch_add(&vm->tmem_users, 1, __ATOMIC_SEQ_CST);
	if (!vm_is_stopped(vm) && vm->tmem)
		return true;
	put_client(vm);
	return false;
}

bool tmem_control_end(struct vm *vm)
{
	struct vm *other;

	if (__atomic_load_n(&vm->tmem_users, __ATOMIC_SEQ_CST))
		return false;
	for_each_vm (other) {
		int result = 0;

		if (__atomic_load_n(&other->restorer, __ATOMIC_RELAXED) != vm->id)
			continue;
		if (get_client(other)) {
			result = tmem_restore_abandon(other->tmem);
			put_client(other);
		}
		if (result)
			return false;
		__atomic_store_n(&other->restorer, 0, __ATOMIC_RELAXED);
	}
	return true;
}

/* ---- Guest memory ------------------------------------------------------------------- */

struct buffer {
	struct vm *vm; /* whose memory it is */
	u64 start;     /* gpa */
};

static int copy_to_guest(void *argument, u64 offset, void *bytes, u64 count)
{
	const struct buffer *buffer = argument;

	return memory_write(buffer->vm, gpa(buffer->start + offset), bytes, count);
}

static int copy_from_guest(void *argument, u64 offset, void *bytes, u64 count)
{
	const struct buffer *buffer = argument;

	return memory_read(buffer->vm, gpa(buffer->start + offset), bytes, count);
}

/* ---- The calls ---------------------------------------------------------------------- */

static s64 describe(struct vm *caller, struct vm *vm, u64 to)
{
	struct tmem_guest_info info = {0};

	_Static_assert(sizeof(info.name) == MANIFEST_NAME_MAX, "a name has room");
	memcpy(info.name, vm->config->name, sizeof(info.name));
	if (!vm_is_stopped(vm))
		info.flags |= TMEM_GUEST_RUNNING;
	if (get_client(vm)) {
		info.flags |= TMEM_GUEST_HAS_TMEM;
		tmem_client_info(vm->tmem, &info);
		put_client(vm);
	}
	return memory_write(caller, gpa(to), &info, sizeof(info));
}

static s64 list(struct vm *caller, struct tmem_client *client, u64 to, void *page)
{
	unsigned count = tmem_client_list(client, page);

	_Static_assert(sizeof(struct tmem_pool_info) * TMEM_POOLS_PER_GUEST <= PAGE_SIZE,
		"all pools fit in a page");
	return memory_write(caller, gpa(to), page, count * sizeof(struct tmem_pool_info))
		       ? -SLUICE_EFAULT
		       : (s64)count;
}

static s64 save(
	struct vm *caller, struct tmem_client *client, u64 state_at, const struct tmem_transfer *to)
{
	struct tmem_save_state state;
	s64 result;

	if (memory_read(caller, gpa(state_at), &state, sizeof(state)))
		return -SLUICE_EFAULT;
	result = tmem_save(client, &state, to);
	if (result >= 0 && memory_write(caller, gpa(state_at), &state, sizeof(state)))
		return -SLUICE_EFAULT;
	return result;
}

/* One guest at a time restores another: whose end is the restore's too. */
static s64 restore(
	struct vm *caller, struct vm *vm, u64 status_at, const struct tmem_transfer *from)
{
	enum tmem_restore_status status = TMEM_RESTORE_MORE;
	u16 before = 0;
	u32 word;
	s64 result;

	if (!__atomic_compare_exchange_n(&vm->restorer, &before, caller->id, false,
		    __ATOMIC_RELAXED, __ATOMIC_RELAXED) &&
		before != caller->id)
		return -SLUICE_EBUSY;
	result = tmem_restore(vm->tmem, from, &status);
	if (result == -SLUICE_EAGAIN)
		return result;
	if (status != TMEM_RESTORE_MORE || (result == -SLUICE_EBUSY && !before))
		__atomic_store_n(&vm->restorer, 0, __ATOMIC_RELAXED);
	if (status >= TMEM_RESTORE_BAD)
		vm_complain(caller, "its stream for guest \"%s\" was refused: status %u",
			vm->config->name, status);
	word = status;
	return memory_write(caller, gpa(status_at), &word, sizeof(word)) ? -SLUICE_EFAULT : result;
}

static s64 abandon(struct vm *vm)
{
	int result = tmem_restore_abandon(vm->tmem);

	if (!result)
		__atomic_store_n(&vm->restorer, 0, __ATOMIC_RELAXED);
	return result;
}

/* The calls that move pages or lists, with a page of the hypervisor's. */
static s64 transfer(struct vcpu *vcpu, struct vm *vm, u64 number, void *page)
{
	const u64 *regs = vcpu->regs;
	struct buffer buffer = {.vm = vcpu->vm, .start = regs[RDX]};
	struct tmem_transfer transfer = {
		.copy = number == HYPERCALL_TMEM_SAVE ? copy_to_guest : copy_from_guest,
		.argument = &buffer,
		.length = regs[R10],
		.page = page,
	};

	if (number == HYPERCALL_TMEM_LIST)
		return list(vcpu->vm, vm->tmem, regs[RSI], page);
	if (buffer.start + transfer.length < buffer.start)
		return -SLUICE_EFAULT;
	if (number == HYPERCALL_TMEM_SAVE)
		return save(vcpu->vm, vm->tmem, regs[RSI], &transfer);
	return restore(vcpu->vm, vm, regs[RSI], &transfer);
}

static s64 control(struct vcpu *vcpu, struct vm *vm, u64 number)
{
	const u64 *regs = vcpu->regs;
	void *page;
	s64 result;

	switch (number) {
	case HYPERCALL_TMEM_FREEZE:
	case HYPERCALL_TMEM_THAW:
		tmem_client_freeze(vm->tmem, number == HYPERCALL_TMEM_FREEZE);
		return 0;
	case HYPERCALL_TMEM_WEIGHT:
		return tmem_client_set_weight(vm->tmem, regs[RSI]);
	case HYPERCALL_TMEM_CAPS:
		return tmem_client_set_caps(vm->tmem, regs[RSI], regs[RDX]);
	case HYPERCALL_TMEM_ABANDON:
		return abandon(vm);
	default:
		page = hypervisor_alloc(0);
		if (!page)
			return -SLUICE_ENOMEM;
		result = transfer(vcpu, vm, number, page);
		hypervisor_free(page, 0);
		return result;
	}
}

s64 tmem_control(struct vcpu *vcpu, u64 number)
{
	u64 index = vcpu->regs[RDI];
	struct vm *vm = index < VMS_MAX ? vm_at((unsigned)index) : NULL;
	s64 result;

	if (!vcpu->vm->config->privileged)
		return -SLUICE_EPERM;
	if (!vm)
		return -SLUICE_ESRCH;
	if (number == HYPERCALL_TMEM_GUEST)
		return describe(vcpu->vm, vm, vcpu->regs[RSI]);
	if (!get_client(vm))
		return -SLUICE_ESRCH;
	result = control(vcpu, vm, number);
	put_client(vm);
	return result;
}
