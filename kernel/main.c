/*
 * The boot order. Each line brings up one floor of the house; what is missing is named and the
 * machine halts. docs/design.md tells the same story at length.
 */
#include "arch/x86/arch.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/port.h"
#include "kernel/boot_manifest.h"
#include "kernel/boot_over.h"
#include "kernel/core/bug.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/core/percpu.h"
#include "kernel/core/random.h"
#include "kernel/dispatch.h"
#include "kernel/ending.h"
#include "kernel/guests.h"
#include "kernel/monitor.h"
#include "kernel/policy.h"
#include "kernel/vm/sched.h"
#include "kernel/vm/tmem_guest.h"
#include "kernel/vm/virt.h"
#include "kernel/vm/vm.h"

const struct virt *virt;

static const struct virt *const vendors[] = {&vmx_virt, &svm_virt};

/* The message was logged by whoever found out. */
static void require(bool ok)
{
	if (ok)
		return;
	log_error("Sluice cannot run on this machine as it is: halted");
	log_flush();
	arch_halt();
}

static bool choose_vendor(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(vendors); i++) {
		if (!vendors[i]->present())
			continue;
		virt = vendors[i];
		return virt->probe() == 0;
	}
	log_error("this processor offers neither VT-x (CPUID.1:ECX.VMX) nor AMD-V "
		  "(CPUID.80000001h:ECX.SVM), or the firmware has switched it off");
	return false;
}

static bool start_core(void)
{
	if (frames_init() || percpu_init(0))
		return false;
	sched_init();
	return true;
}

static void choose_copy(const struct machine_config *machine)
{
	const unsigned order = order_of(ARCH_COPY_ROOM);
	void *room = hypervisor_alloc(order);

	arch_choose_copy(machine->copy, room);
	if (room)
		hypervisor_free(room, order);
}

static bool start_cpus(void)
{
	unsigned count = arch_start_other_cpus();

	log_info("%u processor%s, %s", count, count == 1 ? "" : "s", virt->name);
	return virt->cpu_enable() == 0;
}

void kernel_main(void)
{
	const struct manifest *manifest;

	arch_start_boot_cpu();
	log_info("Sluice, a micro-hypervisor with transcendent memory");
	require(arch_start_machine() == 0);
	require(start_core());
	random_start();
	require(choose_vendor());
	require((manifest = boot_manifest_load()) != NULL);
	ending_configure(&manifest->machine);
	choose_copy(&manifest->machine);
	cpuid_init(virt->hypercall_instruction);
	bug_set_last_exits(dispatch_report);
	require(start_cpus());
	require(tmem_start(&manifest->tmem));
	require(policy_start(
		&manifest->balloon, manifest->tmem.enabled && !manifest->tmem.keys_only));
	require(guests_start(manifest) > 0);
	monitor_start(&manifest->machine);
	boot_over();
}
