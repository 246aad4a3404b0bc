/*
 * From a manifest entry to a running VM, and back: puts together what the floors below offer. One
 * bad guest never keeps another from starting.
 */
#include "kernel/guests.h"

#include <string.h>

#include "arch/x86/arch.h"
#include "arch/x86/guest/platform.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/core/percpu.h"
#include "kernel/monitor.h"
#include "kernel/policy.h"
#include "kernel/summary.h"
#include "kernel/vm/sched.h"
#include "kernel/vm/virt.h"
#include "kernel/vm/vm.h"

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

__init static bool create_vendor_parts(struct vm *vm)
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
	policy_guest_starts(vm);
	vm->started = true;
	vm->started_at = arch_tsc();
	log_info("guest \"%s\": started: %llu MiB, %u vCPU%s on CPU %u, %u disk%s", config->name,
		(unsigned long long)(config->memory_max >> 20), config->vcpus,
		config->vcpus == 1 ? "" : "s", vm->vcpus[0]->cpu, config->disk_count,
		config->disk_count == 1 ? "" : "s");
	sched_start(vm->vcpus[0]);
	return true;
}

__init static bool is_disk(const struct manifest *manifest, const char *module)
{
	for (unsigned g = 0; g < manifest->guest_count; g++)
		for (unsigned d = 0; d < manifest->guests[g].disk_count; d++)
			if (strcmp(manifest->guests[g].disks[d].module, module) == 0)
				return true;
	return false;
}

/* Kernels and initrds have been copied into their guests; disks are read in place. */
__init static void release_modules(const struct manifest *manifest)
{
	const struct boot_info *boot = boot_info();

	for (unsigned i = 0; i < boot->module_count; i++)
		if (!is_disk(manifest, boot->modules[i].name))
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

void guests_reap(void)
{
	struct vm *vm;

	for_each_vm (vm) {
		if (vm->reaped || !vm_is_stopped(vm) || !vm_is_quiet(vm))
			continue;
		if (!vm->dismantled) {
			if (!is_silent(vm))
				return;
			monitor_guest_ends(vm);
			summary_remember(vm);
			if (vm->platform)
				platform_destroy(vm);
			destroy_vendor_parts(vm);
			vm->dismantled = true;
		}
		if (vm_reap_step(vm))
			vm->reaped = true;
		return; /* one step a turn */
	}
}

bool guests_to_reap(void)
{
	struct vm *vm;

	for_each_vm (vm)
		if (!vm->reaped && vm_is_stopped(vm) && vm_is_quiet(vm))
			return true;
	return false;
}

bool guests_all_done(void)
{
	struct vm *vm;

	for_each_vm (vm)
		if (!vm->reaped)
			return false;
	return true;
}
