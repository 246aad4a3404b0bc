/* Steal time: see steal_time.h. */
#include "arch/x86/guest/steal_time.h"

#include "kernel/vm/vm.h"

static struct steal_time *area_of(struct vcpu *vcpu, u64 at)
{
	u8 *page = memory_page(vcpu->vm, gpa_to_gfn(gpa(at)));

	return page ? (struct steal_time *)(page + (at & PAGE_MASK)) : NULL;
}

void steal_time_publish(struct vcpu *vcpu)
{
	struct steal_time *area = area_of(vcpu, vcpu->steal_time_at & ~STEAL_TIME_ON);
	u32 version;

	if (!area)
		return;
	version = READ_ONCE(area->version) | 1;
	WRITE_ONCE(area->version, version);
	__atomic_store_n(&area->steal, us_from_ticks(vcpu->waited_ticks) * 1000, __ATOMIC_RELEASE);
	__atomic_store_n(&area->version, version + 1, __ATOMIC_RELEASE);
}

enum outcome steal_time_write(struct vcpu *vcpu, u64 value)
{
	u64 at = value & ~STEAL_TIME_ON;

	if (value & STEAL_TIME_RESERVED)
		return BAD;
	if (!(value & STEAL_TIME_ON)) {
		vcpu->steal_time_at = 0;
		return DONE;
	}
	if (!area_of(vcpu, at)) {
		if (!memory_lacks_frame(vcpu->vm, gpa_to_gfn(gpa(at))))
			return BAD;
		memory_wait(vcpu);
		return WAIT;
	}
	vcpu->steal_time_at = value;
	steal_time_publish(vcpu);
	return DONE;
}
