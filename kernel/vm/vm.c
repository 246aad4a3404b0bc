/*
 * The table of VMs: making one from the manifest, stopping it, giving back what it held. Devices
 * and the platform are put on top by kernel/guests.c.
 */
#include "kernel/vm/vm.h"

#include <string.h>

#include "arch/x86/arch.h"
#include "kernel/core/bug.h"
#include "kernel/core/frame.h"
#include "kernel/vm/sched.h"
#include "kernel/vm/tmem_control.h"
#include "kernel/vm/tmem_guest.h"
#include "kernel/vm/window.h"
#include <abi/errno.h>

struct tmem *tmem_store;

static struct vm *vms[VMS_MAX];

static const char *const stop_names[STOP_REASONS] = {
	[STOP_NONE] = "running",
	[STOP_NOT_STARTED] = "not-started",
	[STOP_SHUTDOWN] = "shutdown",
	[STOP_POWER_OFF] = "power-off",
	[STOP_RESET] = "reset",
	[STOP_TRIPLE_FAULT] = "triple-fault",
	[STOP_BAD_ACCESS] = "bad-access",
	[STOP_NO_MEMORY] = "no-memory",
	[STOP_UNHANDLED_EXIT] = "unhandled-exit",
	[STOP_ENTRY_FAILED] = "entry-failed",
	[STOP_ALL_HALTED] = "all-halted",
	[STOP_TIME_LIMIT] = "time-limit",
	[STOP_OPERATOR] = "operator",
	[STOP_DEVICE] = "device",
};

const char *stop_reason_name(enum stop_reason reason)
{
	return reason < STOP_REASONS ? stop_names[reason] : "?";
}

struct vm *vm_at(unsigned slot)
{
	return slot < VMS_MAX ? vms[slot] : NULL;
}

unsigned vms_running(void)
{
	unsigned running = 0;
	struct vm *vm;

	for_each_vm (vm)
		running += vm->started && !vm_is_stopped(vm);
	return running;
}

__init static bool create_vcpus(struct vm *vm)
{
	for (u32 id = 0; id < vm->config->vcpus; id++) {
		vm->vcpus[id] = vcpu_create(vm, id);
		if (!vm->vcpus[id])
			return false;
		sched_place(vm->vcpus[id], vm->config->cpus);
		vm->vcpu_count++;
	}
	return true;
}

__init static void destroy_vcpus(struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		sched_remove(vm->vcpus[i]);
		vcpu_destroy(vm->vcpus[i]);
		vm->vcpus[i] = NULL;
	}
	vm->vcpu_count = 0;
}

__init static unsigned free_slot(void)
{
	unsigned slot = 0;

	while (slot < VMS_MAX && vms[slot])
		slot++;
	return slot;
}

static void uncommit(const struct guest_config *config)
{
	memory_uncommit(config->memory_min >> PAGE_SHIFT, config->memory_max >> PAGE_SHIFT);
}

void vm_uncommit(struct vm *vm)
{
	if (vm->committed)
		uncommit(vm->config);
	vm->committed = false;
}

__init struct vm *vm_create(const struct guest_config *config, const struct nested_layout *layout)
{
	unsigned slot = free_slot();
	struct vm *vm;

	if (slot == VMS_MAX) {
		log_error("guest \"%s\": not started: there are %u guests already", config->name,
			VMS_MAX);
		return NULL;
	}
	if (memory_commit(config->name, config->memory_min >> PAGE_SHIFT,
		    config->memory_max >> PAGE_SHIFT)) {
		log_error("sluice.toml:%u: guest \"%s\": not started", config->line, config->name);
		return NULL;
	}
	vm = hypervisor_alloc(order_of(sizeof(*vm)));
	if (!vm)
		goto no_vm;
	vm->id = (u16)(slot + 1);
	vm->config = config;
	vm->entitled_pages = config->memory_min >> PAGE_SHIFT;
	vm->committed = true;
	spin_lock_init(&vm->lock, LOCK_VM);
	vm->console = guest_console_create(config->name);
	if (!vm->console)
		goto no_console;
	if (memory_create(vm, config->memory_max, layout))
		goto no_memory;
	if (tmem_guest_create(vm))
		goto no_tmem;
	if (!create_vcpus(vm))
		goto no_vcpus;
	vms[slot] = vm;
	return vm;

no_vcpus:
	destroy_vcpus(vm);
	while (tmem_guest_destroy(vm) == -SLUICE_EAGAIN)
		;
no_tmem:
	memory_destroy(vm);
no_memory:
	guest_console_destroy(vm->console);
no_console:
	hypervisor_free(vm, order_of(sizeof(*vm)));
no_vm:
	uncommit(config);
	log_error("guest \"%s\": not started: no memory for its tables (%llu KiB free)",
		config->name, (unsigned long long)frames_free() * 4);
	return NULL;
}

void vm_stop(struct vm *vm, enum stop_reason reason, u64 code)
{
	enum stop_reason none = STOP_NONE;

	if (!__atomic_compare_exchange_n(
		    &vm->stop_reason, &none, reason, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	vm->stop_code = code;
	vm->stopped_at = arch_tsc();
	if (reason == STOP_SHUTDOWN)
		log_info("guest \"%s\": shut down, %s (reason %llu)", vm->config->name,
			code ? "NOT verified" : "results verified", (unsigned long long)code);
	else if (reason == STOP_POWER_OFF)
		log_info("guest \"%s\": powered off", vm->config->name);
	else
		log_warn("guest \"%s\": stopped: %s (%#llx)", vm->config->name,
			stop_reason_name(reason), (unsigned long long)code);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		sched_stop(vm->vcpus[i]);
}

bool vm_is_quiet(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		if (__atomic_load_n(&vm->vcpus[i]->state, __ATOMIC_ACQUIRE) != VCPU_STOPPED)
			return false;
	return true;
}

bool vm_reap_step(struct vm *vm)
{
	ASSERT(vm_is_stopped(vm) && vm_is_quiet(vm));
	if (!tmem_control_end(vm))
		return false;
	if (vm->tmem) {
		if (!window_close(vm))
			return false;
		if (tmem_guest_destroy(vm) == -SLUICE_EAGAIN)
			return false;
	}
	memory_destroy(vm);
	if (!vm->restart.at)
		vm_uncommit(vm);
	return true;
}
