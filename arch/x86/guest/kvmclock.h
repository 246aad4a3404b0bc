/*
 * kvmclock: the paravirtual clock that Linux knows from KVM (Documentation/virt/kvm/x86/msr.rst
 * there). The guest names a structure in its memory by MSR, and computes the time from it and the
 * TSC.
 *
 * A guest's TSC is the host's, which neither stops nor changes its rate: so a structure is written
 * when its MSR is, in that exit, and is true for ever. No address of the guest is remembered.
 */
#ifndef GUEST_KVMCLOCK_H
#define GUEST_KVMCLOCK_H

#include "kernel/vm/vcpu.h"

#define MSR_KVM_WALL_CLOCK  0x4b564d00u
#define MSR_KVM_SYSTEM_TIME 0x4b564d01u

/* What CPUID leaf 0x40000001 says in EAX. */
#define KVM_FEATURE_NO_IO_DELAY  BIT(1) /* no port has to be waited for */
#define KVM_FEATURE_CLOCK        BIT(3) /* the two MSRs above */
#define KVM_FEATURE_CLOCK_STABLE BIT(24)
u32 kvmclock_features(void);

/* Bit 0 of the system time's MSR: the structure is to be filled in. */
#define KVM_SYSTEM_TIME_ON 1u

/* struct pvclock_vcpu_time_info: nanoseconds = system_time + ((tsc - tsc_timestamp) shifted by
 * @tsc_shift, to the left if positive) * tsc_to_system_mul / 2^32. An odd version: being written.
 */
struct kvmclock_time {
	u32 version, padding_1;
	u64 tsc_timestamp, system_time;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags, padding_2[2];
};
_Static_assert(sizeof(struct kvmclock_time) == 32, "pvclock_vcpu_time_info");
#define KVMCLOCK_STABLE BIT(0) /* of @flags: all vCPUs' clocks agree */

/* struct pvclock_wall_clock: the time of day, since 1970, at which the system time was 0. */
struct kvmclock_wall {
	u32 version, seconds, nanoseconds;
};
_Static_assert(sizeof(struct kvmclock_wall) == 12, "pvclock_wall_clock");

/* The factor and shift for a TSC of @hz, 1 MHz to 16 GHz; the factor has its highest bit set, or
 * nearly. */
void kvmclock_scale(u64 hz, u32 *mul, s8 *shift);

/*
 * A write to one of the two MSRs. DONE; BAD: no address of RAM, or none that is aligned to 4; WAIT:
 * there is no frame for it yet, the vCPU was blocked.
 */
enum outcome kvmclock_write(struct vcpu *vcpu, u32 msr, u64 value);

#endif
