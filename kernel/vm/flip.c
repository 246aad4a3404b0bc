/*
 * Page flip: put and get by exchanging frames between a guest and the store. memory_flip.c takes
 * care of the guest's side of it, tmem/flip.c of the store's; here they meet. LOCK_MEMORY is held
 * while a frame is in neither's hands, and the engine's locks come below it.
 */
#include "kernel/vm/flip.h"

#include <abi/errno.h>

#include "kernel/core/frame.h"
#include "kernel/vm/memory_flip.h"

COLD s64 flip_declare(struct vcpu *vcpu, u64 first, u64 pages)
{
	return memory_flip_declare(vcpu->vm, first, pages);
}

COLD s64 flip_undeclare(struct vcpu *vcpu, u64 first, u64 pages)
{
	return memory_flip_undeclare(vcpu->vm, first, pages);
}

/* What gfn @frame holds, for a glance; NULL if it is in no declared range or has no frame. */
static const void *glance(const struct memory *memory, u64 frame)
{
	u64 entry;

	if (frame >= memory->gfn_count || !memory_flips(memory, frame, 1))
		return NULL;
	entry = READ_ONCE(memory->gfns[frame]);
	if ((entry & GFN_STATE) != GFN_RAM && (entry & GFN_STATE) != GFN_MOVING)
		return NULL;
	return hpa_to_ptr(hpa(entry & GFN_HPA));
}

/* The frame is the store's, or, if that did not want it, stays where it was. */
static int put_frame(
	struct vm *vm, const struct tmem_handle *handle, u64 frame, mfn_t host, mfn_t fresh)
{
	struct memory *memory = &vm->memory;
	bool taken;
	int result;

	frame_change_class(host, FRAME_GUEST, FRAME_TMEM, 0);
	result = tmem_put_flip(vm->tmem, handle, mfn_to_ptr(host), &taken);
	if (taken) {
		memory_flip_exchange(memory, frame, fresh);
		memory->flip.puts++;
		return result;
	}
	frame_change_class(host, FRAME_TMEM, FRAME_GUEST, vm->id);
	memory_flip_exchange(memory, frame, host);
	memory_flip_keep(memory, fresh);
	memory->flip.copies++;
	return result;
}

s64 flip_put(struct vcpu *vcpu, const struct tmem_handle *handle, u64 frame)
{
	struct vm *vm = vcpu->vm;
	struct memory *memory = &vm->memory;
	const void *page = glance(memory, frame);
	mfn_t host, fresh;
	int result;

	if (!page || !tmem_flips_put(vm->tmem, handle, page))
		return FLIP_BY_COPY;
	result = memory_flip_begin(vcpu, frame, &host);
	if (result == -SLUICE_EAGAIN)
		return result;
	if (result == -SLUICE_EBUSY) {
		/* A put that fails leaves no old copy. */
		result = tmem_put(vm->tmem, handle, NULL);
		return result == -SLUICE_EFAULT ? -SLUICE_EBUSY : result;
	}
	if (result)
		return FLIP_BY_COPY;
	fresh = memory_flip_take(memory);
	if (mfn_is_none(fresh)) {
		result = FLIP_BY_COPY;
		memory_flip_exchange(memory, frame, host);
	} else {
		result = put_frame(vm, handle, frame, host, fresh);
	}
	spin_unlock(&memory->lock);
	return result;
}

s64 flip_get(struct vcpu *vcpu, const struct tmem_handle *handle, u64 frame)
{
	struct vm *vm = vcpu->vm;
	struct memory *memory = &vm->memory;
	void *stored;
	mfn_t host;
	int result;

	if (!glance(memory, frame) || tmem_surely_misses(vm->tmem, handle))
		return FLIP_BY_COPY;
	/* Nobody waits for other CPUs in vain. */
	if (vm->vcpu_count > 1 && !memory_flip_is_begun(vcpu, frame) &&
		!tmem_flips_get(vm->tmem, handle))
		return FLIP_BY_COPY;
	result = memory_flip_begin(vcpu, frame, &host);
	if (result)
		return result == -SLUICE_EINVAL ? FLIP_BY_COPY : result;
	result = tmem_get_flip(vm->tmem, handle, mfn_to_ptr(host), &stored);
	if (stored) {
		mfn_t came = ptr_to_mfn(stored);

		frame_change_class(came, FRAME_TMEM, FRAME_GUEST, vm->id);
		memory_flip_exchange(memory, frame, came);
		memory_flip_keep(memory, host);
		memory->flip.gets++;
	} else {
		memory_flip_exchange(memory, frame, host);
		memory->flip.copies += result == 0;
	}
	spin_unlock(&memory->lock);
	return result;
}
