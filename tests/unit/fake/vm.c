/*
 * Guests for hosted tests (fake/vm.h).
 */
#include "fake/vm.h"

#include <stdlib.h>
#include <string.h>

#include "fake/machine.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/memory.h"
#include "kernel/vm/sched.h"
#include "kernel/vm/tmem_port.h"

/* Intel SDM vol. 3, 29.3.2: read, write, execute; memory type write-back; bit 7 large; bit 63
 * suppress #VE; accessed bit 8, dirty bit 9. */
const struct nested_layout fake_ept = {
	.name = "EPT",
	.table = 0x7,
	.leaf = 0x7 | 6 << 3,
	.shared = 0x1 | 6 << 3,
	.large = BIT(7),
	.empty = BIT(63),
	.gone = 0,
	.present = 0x7,
	.accessed = BIT(8),
	.dirty = BIT(9),
	.huge = true,
};

/* AMD APM vol. 2, 15.25.5: nested tables are ordinary page tables, walked as user accesses. */
const struct nested_layout fake_npt = {
	.name = "NPT",
	.table = 0x7,
	.leaf = 0x7,
	.shared = 0x5 | BIT(63),
	.large = BIT(7),
	.empty = 0,
	.present = 0x1,
	.accessed = BIT(5),
	.dirty = BIT(6),
	.huge = true,
};

struct tmem *tmem_store;

static struct vm *vms[VMS_MAX];
static struct guest_config configs[VMS_MAX];

struct vm *vm_at(unsigned slot)
{
	return slot < VMS_MAX ? vms[slot] : NULL;
}

struct vm *fake_vm(unsigned slot)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	vm->id = (u16)(slot + 1);
	vm->config = &configs[slot];
	vms[slot] = vm;
	return vm;
}

void fake_vms_reset(void)
{
	for (unsigned slot = 0; slot < VMS_MAX; slot++) {
		free(vms[slot]);
		vms[slot] = NULL;
	}
}

void fake_all_pass(void)
{
	for (unsigned i = arch_cpu_count(); i-- > 0;) {
		fake_run_as(i);
		epoch_quiescent(epoch_now());
	}
}

void fake_limbo_empty(void)
{
	while (limbo_frames() > 0) {
		fake_all_pass();
		limbo_drain();
	}
}

void fake_core_start(u64 bytes, unsigned cpus)
{
	for (unsigned slot = 0; slot < VMS_MAX; slot++)
		if (vms[slot])
			memory_destroy(vms[slot]);
	fake_limbo_empty();
	fake_vms_reset();
	tmem_store = NULL;
	fake_machine_start(bytes, cpus);
	if (frames_init())
		abort();
	for (unsigned i = 0; i < cpus; i++)
		if (percpu_init(i))
			abort();
	fake_log_reset();
}

/* A test may bring its own. */
__attribute__((weak)) unsigned vms_running(void)
{
	unsigned running = 0;

	for (unsigned slot = 0; slot < VMS_MAX; slot++)
		running += vms[slot] != NULL;
	return running;
}

__attribute__((weak)) void vm_stop(struct vm *vm, enum stop_reason reason, u64 code)
{
	if (vm->stop_reason != STOP_NONE)
		return;
	vm->stop_reason = reason;
	vm->stop_code = code;
}

__attribute__((weak)) void sched_charge(struct vm *vm, u64 ticks)
{
	(void)vm;
	(void)ticks;
}

__attribute__((weak)) void vcpu_block(struct vcpu *vcpu)
{
	vcpu->blocking = true;
}

__attribute__((weak)) void vcpu_wake(struct vcpu *vcpu)
{
	vcpu->blocking = false;
}

__attribute__((weak)) void vcpu_inject_page_fault(struct vcpu *vcpu, u64 address, u32 error)
{
	vcpu->event = (struct vcpu_event){
		.valid = true,
		.type = EVENT_EXCEPTION,
		.vector = VECTOR_PF,
		.has_error = true,
		.error = error,
		.has_address = true,
		.address = address,
	};
}

/* The real one may be linked. */
__attribute__((weak)) bool rate_limit_ok(struct rate_limit *limit)
{
	limit->total++;
	return true;
}

u64 fake_translate(const struct memory *memory, u64 address, unsigned *level)
{
	const struct nested_layout *layout = memory->layout;
	u64 table = memory->root.raw;

	for (unsigned at = 4;; at--) {
		unsigned shift = 12 + 9 * (at - 1);
		u64 entry = ((u64 *)(fake_ram + table))[address >> shift & 511];

		*level = at;
		if (!(entry & layout->present))
			return ~0UL;
		if (at == 1 || (at < 4 && (entry & layout->large)))
			return (entry & 0x000ffffffffff000 & ~(BIT(shift) - 1)) |
			       (address & (BIT(shift) - 1));
		table = entry & 0x000ffffffffff000;
	}
}

unsigned fake_level_at(const struct memory *memory, u64 frame)
{
	unsigned level;

	return fake_translate(memory, frame << PAGE_SHIFT, &level) == ~0UL ? 0 : level;
}
