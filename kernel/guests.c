/*
 * From a manifest entry to a running VM, and back: puts together what the floors below offer. One
 * bad guest never keeps another from starting.
 */
#include "kernel/guests.h"

#include <abi/errno.h>
#include <string.h>

#include "arch/x86/arch.h"
#include "arch/x86/guest/image.h"
#include "arch/x86/guest/platform.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/core/percpu.h"
#include "kernel/monitor.h"
#include "kernel/core/timer.h"
#include "kernel/policy.h"
#include "kernel/restart.h"
#include "kernel/summary.h"
#include "kernel/vm/sched.h"
#include "kernel/vm/tmem_guest.h"
#include "kernel/vm/virt.h"
#include "kernel/vm/vm.h"

/* How long a guest that is loaded waits for a frame before it is looked for again, at least. */
#define LATER_US 1000

__init static const struct boot_module *module_named(const char *name)
{
	const struct boot_info *boot = boot_info();

	for (unsigned i = 0; i < boot->module_count; i++)
		if (strcmp(boot->modules[i].name, name) == 0)
			return &boot->modules[i];
	return NULL;
}

/* @key says which manifest key named the module. */
__init static bool find_module(const struct guest_config *config, const char *key, const char *name,
	const struct boot_module **found)
{
	*found = NULL;
	if (!name[0])
		return true;
	*found = module_named(name);
	if (*found)
		return true;
	log_error(
		"sluice.toml:%u: guest \"%s\": %s names the module \"%s\", which GRUB did not load",
		config->line, config->name, key, name);
	for (unsigned i = 0; i < boot_info()->module_count; i++)
		log_error("  there is \"%s\" (%llu bytes)", boot_info()->modules[i].name,
			(unsigned long long)boot_info()->modules[i].bytes);
	return false;
}

__init static bool cpus_exist(const struct guest_config *config)
{
	unsigned count = arch_cpu_count();
	u64 present = count == 64 ? ~0UL : BIT(count) - 1;

	if (!config->cpus || config->cpus & present)
		return true;
	log_error("sluice.toml:%u: guest \"%s\": cpus names none of this machine's CPUs 0..%u",
		config->line, config->name, count - 1);
	return false;
}

static bool create_vendor_parts(struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		if (virt->vcpu_create(vm->vcpus[i]))
			return false;
	return true;
}

static void destroy_vendor_parts(struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i]->vendor)
			virt->vcpu_destroy(vm->vcpus[i]);
}

/* A VM that never ran is stopped and given back like one that did. */
static void give_up(struct vm *vm)
{
	vm_stop(vm, STOP_NOT_STARTED, 0);
}

/* Everything is loaded. */
static void run_guest(struct vm *vm)
{
	const struct guest_config *config = vm->config;

	policy_guest_starts(vm);
	vm->started = true;
	vm->started_at = arch_tsc();
	log_info("guest \"%s\": started: %llu MiB, %u vCPU%s on CPU %u, %u disk%s", config->name,
		(unsigned long long)(config->memory_max >> 20), config->vcpus,
		config->vcpus == 1 ? "" : "s", vm->vcpus[0]->cpu, config->disk_count,
		config->disk_count == 1 ? "" : "s");
	sched_start(vm->vcpus[0]);
}

__init static bool start_guest(const struct guest_config *config)
{
	const struct boot_module *kernel, *initrd;
	struct vm *vm;

	if (!find_module(config, "kernel", config->kernel, &kernel) ||
		!find_module(config, "initrd", config->initrd, &initrd) || !cpus_exist(config))
		return false;
	vm = vm_create(config, virt->layout());
	if (!vm)
		return false;
	if (!create_vendor_parts(vm)) {
		log_error("guest \"%s\": not started: no memory for %s control blocks",
			config->name, virt->name);
		give_up(vm);
		return false;
	}
	if (platform_create(vm) || pvh_load(vm, kernel, initrd)) {
		give_up(vm);
		return false;
	}
	run_guest(vm);
	return true;
}

/* Disks are read in place, and what may be started again is loaded again. */
__init static bool is_needed(const struct manifest *manifest, const char *module)
{
	for (unsigned g = 0; g < manifest->guest_count; g++) {
		const struct guest_config *guest = &manifest->guests[g];

		if (guest->restart != RESTART_NEVER &&
			(strcmp(guest->kernel, module) == 0 || strcmp(guest->initrd, module) == 0))
			return true;
		for (unsigned d = 0; d < guest->disk_count; d++)
			if (strcmp(guest->disks[d].module, module) == 0)
				return true;
	}
	return false;
}

/* Other kernels and initrds have been copied into their guests for good. */
__init static void release_modules(const struct manifest *manifest)
{
	const struct boot_info *boot = boot_info();

	for (unsigned i = 0; i < boot->module_count; i++)
		if (!is_needed(manifest, boot->modules[i].name))
			frames_release_range(boot->modules[i].start, boot->modules[i].bytes);
}

__init unsigned guests_start(const struct manifest *manifest)
{
	unsigned started = 0;

	for (unsigned i = 0; i < manifest->guest_count; i++) {
		const struct guest_config *config = &manifest->guests[i];

		if (config->bad)
			log_error("guest \"%s\": not started: see the errors of sluice.toml above",
				config->name);
		else
			started += start_guest(config);
	}
	release_modules(manifest);
	return started;
}

/*
 * Whether no CPU can be at work for a timer of the stopped @vm any more. Handlers that find the VM
 * stopped do nothing; so after one epoch none arms a timer, and after another, which begins when
 * all were cancelled, none that had expired before is still on its way.
 */
static bool is_silent(struct vm *vm)
{
	if (vm->silencing > 0 && !epoch_passed(vm->silence_epoch))
		return false;
	if (vm->silencing == 1 && vm->platform)
		platform_cancel_timers(vm);
	if (vm->silencing < 2) {
		vm->silencing++;
		vm->silence_epoch = epoch_advance();
		for (unsigned i = 0; i < arch_cpu_count(); i++)
			if (i != this_cpu()->index)
				arch_kick(i);
		return false;
	}
	return true;
}

/* Its devices stay if it may have another life, since its disks do. */
static void dismantle(struct vm *vm)
{
	restart_decide(vm);
	if (!vm->restart.at)
		monitor_guest_ends(vm);
	summary_remember(vm);
	if (vm->image)
		platform_power_cycle(vm);
	else if (vm->platform)
		platform_destroy(vm);
	destroy_vendor_parts(vm);
	vm->dismantled = true;
}

/* ---- Lives after the first ------------------------------------------------------------ */

static void reset_life(struct vm *vm)
{
	if (vm->started)
		vm->past_ticks += vm->stopped_at - vm->started_at;
	vm->past_cpu_ticks = sched_cpu_ticks(vm);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_reset(vm->vcpus[i]);
	image_begin(vm->image);
	vm->restorer = 0;
	vm->silencing = 0;
	vm->started = vm->dismantled = vm->reaped = false;
	vm->stop_code = 0;
}

/* What a life needs that the one before has given back. It counts as running from here on, so that
 * it gets memory like others; it is started when it is loaded. */
static void begin_life(struct vm *vm)
{
	const struct guest_config *config = vm->config;
	bool complete;

	if (!vm->committed && memory_commit(config->name, config->memory_min >> PAGE_SHIFT,
				      config->memory_max >> PAGE_SHIFT)) {
		log_error("guest \"%s\": not started again", config->name);
		(void)restart_cancel(vm);
		return;
	}
	vm->committed = true;
	restart_begins(vm);
	log_info("guest \"%s\": restarts (%u); until \"%s\" it ran for %lu ms", config->name,
		vm->restart.count, stop_reason_name(vm->stop_reason),
		vm->started ? (unsigned long)us_from_ticks(vm->stopped_at - vm->started_at) / 1000
			    : 0UL);
	reset_life(vm);
	complete = !memory_create(vm, config->memory_max, vm->memory.layout) &&
		   !tmem_guest_create_again(vm) && create_vendor_parts(vm);
	__atomic_store_n(&vm->stop_reason, STOP_NONE, __ATOMIC_RELEASE);
	if (!complete) {
		log_error("guest \"%s\": no memory for its tables (%llu KiB free)", config->name,
			(unsigned long long)frames_free() * 4);
		give_up(vm);
	}
}

/* A bounded step on the way to the next life of @vm. */
static void restart_step(struct vm *vm)
{
	u64 since = arch_tsc();
	int error;

	if (vm->reaped) {
		begin_life(vm);
		return;
	}
	error = image_load(vm);
	sched_charge(vm, arch_tsc() - since);
	if (error == -SLUICE_ENOMEM) {
		vm->restart.at = arch_tsc() + ticks_from_us(LATER_US);
	} else if (error == 0) {
		vm->restart.at = 0;
		run_guest(vm);
	} else if (error != -SLUICE_EAGAIN) {
		give_up(vm);
	}
}

/* ---- From the dispatch loop ----------------------------------------------------------- */

bool guests_reap(void)
{
	struct vm *vm;

	for_each_vm (vm) {
		if (unlikely(restart_is_due(vm))) {
			restart_step(vm);
			return true;
		}
		if (vm->reaped || !vm_is_stopped(vm) || !vm_is_quiet(vm))
			continue;
		if (!vm->dismantled) {
			if (!is_silent(vm))
				return true;
			dismantle(vm);
		}
		if (vm_reap_step(vm))
			vm->reaped = true;
		return true; /* one step a turn */
	}
	return false;
}

bool guests_to_reap(void)
{
	struct vm *vm;

	for_each_vm (vm)
		if (restart_is_due(vm) || (!vm->reaped && vm_is_stopped(vm) && vm_is_quiet(vm)))
			return true;
	return false;
}

bool guests_all_done(void)
{
	struct vm *vm;

	for_each_vm (vm)
		if (!vm->reaped || vm->restart.at)
			return false;
	return true;
}
