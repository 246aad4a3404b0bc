/*
 * The life of a VM's PC, and HLT. Everything is created before the VM runs and destroyed after it
 * stopped; LOCK_VM guards what several vCPUs share in between.
 */
#include "arch/x86/guest/platform.h"

#include "arch/x86/guest/lapic_state.h"
#include "arch/x86/guest/platform_state.h"
#include "kernel/core/frame.h"
#include "kernel/virtio/balloon.h"
#include "kernel/virtio/blk.h"
#include "kernel/virtio/console.h"
#include "kernel/virtio/device.h"
#include "kernel/virtio/rng.h"
#include <abi/errno.h>
#include <string.h>

_Static_assert(sizeof(struct platform) <= PAGE_SIZE, "the platform is allocated as one page");

__init int platform_create(struct vm *vm)
{
	int err = -SLUICE_ENOMEM;

	vm->platform = hypervisor_alloc(0);
	if (!vm->platform)
		goto no_memory;
	ioapic_reset(&vm->platform->ioapic);
	uart_guest_reset(vm);
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		err = lapic_create(vm->vcpus[i]);
		if (err)
			goto no_memory;
	}
	err = disks_create(vm);
	if (!err)
		err = balloon_create(vm);
	if (!err)
		err = console_create(vm);
	if (!err)
		err = rng_create(vm);
	if (err)
		goto fail;
	return 0;

no_memory:
	log_error("guest \"%s\": no memory for its interrupt controllers", vm->config->name);
fail:
	platform_destroy(vm);
	return err;
}

void platform_cancel_timers(struct vm *vm)
{
	virtio_cancel_timers(vm);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		timer_cancel(&vm->vcpus[i]->lapic->timer);
}

void platform_power_cycle(struct vm *vm)
{
	struct virtio_device *device;

	for_each_virtio_device (vm, device)
		virtio_power_cycle(device);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		lapic_power_cycle(vm->vcpus[i]);
	memset(vm->platform, 0, sizeof(*vm->platform));
	ioapic_reset(&vm->platform->ioapic);
	uart_guest_reset(vm);
}

void platform_destroy(struct vm *vm)
{
	rng_destroy(vm);
	console_destroy(vm);
	balloon_destroy(vm);
	disks_destroy(vm);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		lapic_destroy(vm->vcpus[i]);
	if (vm->platform)
		hypervisor_free(vm->platform, 0);
	vm->platform = NULL;
}

void vcpu_halt(struct vcpu *vcpu, bool interrupts_enabled)
{
	struct lapic *lapic = vcpu->lapic;
	struct vm *vm = vcpu->vm;
	bool all;

	/* Wakes of this turn were for interrupts that were delivered since. First forget them, then
	 * look: a wake that comes after this line counts. */
	(void)__atomic_exchange_n(&vcpu->wake_pending, false, __ATOMIC_SEQ_CST);
	if (READ_ONCE(lapic->nmi) || (READ_ONCE(vcpu->requests) & VCPU_REQ_START))
		return;
	if (interrupts_enabled) {
		lapic->deaf = false;
		if (lapic_pending(vcpu) < 0)
			vcpu_block(vcpu);
		return;
	}
	spin_lock(&vm->lock);
	lapic->deaf = true;
	all = lapic_all_deaf(vm);
	spin_unlock(&vm->lock);
	if (all)
		vm_stop(vm, STOP_ALL_HALTED, 0);
	else
		vcpu_block(vcpu);
}

void platform_dump(const struct vcpu *vcpu)
{
	const struct lapic *lapic = vcpu->lapic;

	log_error("  lapic svr %x tpr %02x timer %05x%s", lapic->svr, lapic->tpr,
		lapic->lvt[LVT_TIMER], lapic->deaf ? ", in HLT with interrupts off" : "");
	log_error("  irr %016lx %016lx %016lx %016lx", lapic->irr[3], lapic->irr[2], lapic->irr[1],
		lapic->irr[0]);
	log_error("  isr %016lx %016lx %016lx %016lx%s", lapic->isr[3], lapic->isr[2],
		lapic->isr[1], lapic->isr[0],
		lapic->offered ? ", may have ended without an exit" : "");
}
