/* Steal time: see steal_time.h. */
#include "arch/x86/guest/steal_time.h"

#include "kernel/vm/vm.h"

void steal_time_publish(struct vcpu *vcpu)
{
	gpa_t at = gpa(vcpu->steal_time_at & ~STEAL_TIME_ON);
	u8 *page = memory_page_now(vcpu->vm, gpa_to_gfn(at));
	struct steal_time *area;
	u32 version;

	if (!page)
		return;
	area = (struct steal_time *)(page + (at.raw & PAGE_MASK));
	version = READ_ONCE(area->version) | 1;
	WRITE_ONCE(area->version, version);
	__atomic_store_n(&area->steal, us_from_ticks(vcpu->waited_ticks) * 1000, __ATOMIC_RELEASE);
	__atomic_store_n(&area->version, version + 1, __ATOMIC_RELEASE);
}

enum outcome steal_time_write(struct vcpu *vcpu, u64 value)
{
	gfn_t frame = gpa_to_gfn(gpa(value & ~STEAL_TIME_ON));

	if (value & STEAL_TIME_RESERVED)
		return BAD;
	if (!(value & STEAL_TIME_ON)) {
		vcpu->steal_time_at = 0;
		return DONE;
	}
	if (!memory_page(vcpu->vm, frame)) {
		if (!memory_lacks_frame(vcpu->vm, frame))
			return BAD;
		memory_wait(vcpu);
		return WAIT;
	}
	vcpu->steal_time_at = value;
	steal_time_publish(vcpu);
	return DONE;
}
