/*
 * See policy_guests.h.
 */
#include "fake/policy_guests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <abi/platform.h>

#include "arch/x86/guest/ioapic.h"
#include "fake/machine.h"
#include "kernel/core/percpu.h"
#include "kernel/policy.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/tmem_port.h"

struct balloon_config balloon;
struct guest_config configs[GUESTS];
struct vm *vms[GUESTS];

void ioapic_raise(struct vm *of, unsigned pin)
{
	(void)of;
	assert_int_equal(pin, PLATFORM_VIRTIO_GSI + PLATFORM_BALLOON_SLOT);
}

void ioapic_lower(struct vm *of, unsigned pin)
{
	ioapic_raise(of, pin);
}

void start(u8 policy, u64 memory)
{
	balloon = (struct balloon_config){
		.policy = policy, .memory = MIB(memory), .tick_ms = 50, .wait_memory_s = 30};
	assert_true(policy_start(&balloon, tmem_store != NULL));
}

int setup(void **state)
{
	(void)state;
	fake_core_start(MIB(128), 1);
	epoch_quiescent(epoch_now());
	memset(vms, 0, sizeof(vms));
	start(BALLOON_POLICY_STATIC, 0);
	return 0;
}

int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < GUESTS; i++)
		if (vms[i]) {
			balloon_destroy(vms[i]);
			memory_uncommit(vms[i]->entitled_pages, vms[i]->memory.ram_pages);
		}
	assert_int_equal(audit_run(), 0);
	return 0;
}

void add(unsigned slot, u64 min, u64 start, u64 max)
{
	struct guest_config *config = &configs[slot];
	struct vm *vm = vms[slot] = fake_vm(slot);

	*config = (struct guest_config){
		.memory_min = MIB(min), .memory_max = MIB(max), .memory_start = MIB(start)};
	config->name[0] = (char)('a' + slot);
	vm->config = config;
	assert_int_equal(
		memory_commit(config->name, MIB(min) / PAGE_SIZE, MIB(max) / PAGE_SIZE), 0);
	vm->entitled_pages = MIB(min) / PAGE_SIZE;
	assert_int_equal(memory_create(vm, MIB(max), &fake_ept), 0);
	assert_int_equal(balloon_create(vm), 0);
	vm->devices[PLATFORM_BALLOON_SLOT]->status = VIRTIO_STATUS_DRIVER_OK;
	policy_guest_starts(vm);
	vm->started = true;
}

u64 target(unsigned slot)
{
	struct balloon_status sample;

	assert_true(balloon_status(vms[slot], &sample));
	return sample.target_pages * PAGE_SIZE >> 20;
}
void lacks_a_frame(unsigned slot)
{
	vms[slot]->memory.is_short = true;
	vms[slot]->memory.short_since = vms[slot]->memory.short_last = arch_tsc();
}

void obey(unsigned slot)
{
	struct vm *vm = vms[slot];
	struct balloon_status sample;

	for (;;) {
		assert_true(balloon_status(vm, &sample));
		if (sample.size_pages <= sample.target_pages)
			return;
		assert_int_equal(memory_inflate(vm, gfn(sample.size_pages - 1), 0), 0);
	}
}

void tick_and_obey(unsigned count)
{
	while (count-- > 0) {
		policy_tick();
		for (unsigned slot = 0; slot < 3; slot++)
			obey(slot);
	}
}
