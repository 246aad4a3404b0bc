/* kvmclock: see kvmclock.h. Everything happens on the CPU of the vCPU that writes an MSR; no lock.
 */
#include "arch/x86/guest/kvmclock.h"

#include "arch/x86/arch.h"
#include "kernel/vm/vm.h"
#include <abi/errno.h>

#define NS_PER_SECOND 1000000000ul

u32 kvmclock_features(void)
{
	return (u32)(KVM_FEATURE_NO_IO_DELAY | KVM_FEATURE_CLOCK |
		     (arch_tsc_is_synchronous() ? KVM_FEATURE_CLOCK_STABLE : 0));
}

void kvmclock_scale(u64 hz, u32 *mul, s8 *shift)
{
	*shift = 0;
	for (; hz <= NS_PER_SECOND; hz <<= 1)
		++*shift;
	/* Rounded up: half of an odd rate must not come down to 1 GHz, whose factor has 33 bits. */
	for (; hz > 2 * NS_PER_SECOND; hz = (hz + 1) / 2)
		--*shift;
	*mul = (u32)((NS_PER_SECOND << 32) / hz);
}

/*
 * Fills in a structure whose first word is its version: odd while the rest is written. The guest
 * may look at it meanwhile, from another vCPU.
 */
static int publish(struct vm *vm, gpa_t to, void *structure, u32 bytes)
{
	u32 *version = structure;
	int err = memory_read(vm, to, version, sizeof(*version));

	*version |= 1;
	if (!err)
		err = memory_write(vm, to, version, sizeof(*version));
	if (!err)
		err = memory_write(
			vm, gpa(to.raw + sizeof(*version)), version + 1, bytes - sizeof(*version));
	++*version;
	if (!err)
		err = memory_write(vm, to, version, sizeof(*version));
	return err;
}

static int write_time(struct vm *vm, gpa_t to)
{
	struct kvmclock_time time = {.tsc_timestamp = vm->started_at,
		.flags = arch_tsc_is_synchronous() ? KVMCLOCK_STABLE : 0};

	kvmclock_scale(arch_tsc_hz(), &time.tsc_to_system_mul, &time.tsc_shift);
	return publish(vm, to, &time, sizeof(time));
}

static int write_wall(struct vm *vm, gpa_t to)
{
	u64 start = arch_wall_clock(vm->started_at);
	struct kvmclock_wall wall = {.seconds = (u32)(start / NS_PER_SECOND),
		.nanoseconds = (u32)(start % NS_PER_SECOND)};

	return publish(vm, to, &wall, sizeof(wall));
}

enum outcome kvmclock_write(struct vcpu *vcpu, u32 msr, u64 value)
{
	bool is_wall = msr == MSR_KVM_WALL_CLOCK;
	gpa_t to = gpa(is_wall ? value : value & ~(u64)KVM_SYSTEM_TIME_ON);
	int err = 0;

	if (to.raw % sizeof(u32))
		return BAD;
	if (is_wall)
		err = write_wall(vcpu->vm, to);
	else if (value & KVM_SYSTEM_TIME_ON)
		err = write_time(vcpu->vm, to);
	if (err == -SLUICE_ENOMEM) {
		memory_wait(vcpu);
		return WAIT;
	}
	return err ? BAD : DONE;
}
