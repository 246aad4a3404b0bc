/*
 * The I/O and MSR permission maps, one of each for all guests (AMD APM vol. 2, 15.10 and 15.11):
 * every port exits, and every MSR but the plain registers of the platform's table that a VMCB
 * holds. Written once, before the first guest.
 */
#include "arch/x86/guest/msr.h"
#include "arch/x86/svm/svm.h"
#include "kernel/core/frame.h"
#include <abi/errno.h>
#include <string.h>

#define IO_MAP_ORDER  2 /* 12 KiB */
#define MSR_MAP_ORDER 1 /* 8 KiB */
#define MSR_MAP_BYTES 8192

/* Two bits an MSR, read and write, in three ranges of 8192 MSRs. */
#define MSR_RANGE       8192u
#define MSR_PER_BYTE    4
#define MSR_READ_EXITS  1u
#define MSR_WRITE_EXITS 2u
#define MSR_RANGE_BYTES (MSR_RANGE / MSR_PER_BYTE)

u8 *svm_io_map, *svm_msr_map;

/* The byte of the map that holds @msr, or -1 where the map has none (such an MSR always exits). */
static int msr_map_byte(u32 msr)
{
	static const u32 ranges[] = {0, 0xc0000000, 0xc0010000};

	for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++)
		if (msr - ranges[i] < MSR_RANGE)
			return (int)(i * MSR_RANGE_BYTES + (msr - ranges[i]) / MSR_PER_BYTE);
	return -1;
}

/*
 * Which accesses need no exit: those of registers that VMRUN, VMLOAD and VMSAVE switch. Whatever
 * else the table may pass through would be the host's own register.
 */
static unsigned msr_exits(u32 msr)
{
	switch (msr) {
	case MSR_SYSENTER_CS ... MSR_SYSENTER_EIP:
	case MSR_STAR:
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_SFMASK:
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
	case MSR_PAT:
		return 0;
	default:
		return MSR_READ_EXITS | MSR_WRITE_EXITS;
	}
}

int svm_permissions_create(void)
{
	svm_io_map = hypervisor_alloc(IO_MAP_ORDER);
	svm_msr_map = hypervisor_alloc(MSR_MAP_ORDER);
	if (!svm_io_map || !svm_msr_map)
		return -SLUICE_ENOMEM;
	memset(svm_io_map, 0xff, PAGE_SIZE << IO_MAP_ORDER);
	memset(svm_msr_map, 0xff, MSR_MAP_BYTES);
	for (unsigned i = 0; i < msr_rule_count; i++) {
		const struct msr_rule *rule = &msr_rules[i];

		if (rule->class != MSR_PASS)
			continue;
		for (u32 msr = rule->first; msr <= rule->last; msr++) {
			int byte = msr_map_byte(msr);
			unsigned shift = msr % MSR_PER_BYTE * 2;

			if (byte >= 0)
				svm_msr_map[byte] &= (u8) ~((3 & ~msr_exits(msr)) << shift);
		}
	}
	return 0;
}
