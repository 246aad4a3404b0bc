/*
 * EPT as a bit layout for the nested tables (Intel SDM vol. 3, 29.3), and the flushes that go with
 * it. The tables themselves are kernel/vm's.
 */
#include "arch/x86/arch.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_msr.h"
#include "kernel/core/bug.h"
#include "kernel/core/log.h"

#define EPT_READ        BIT(0)
#define EPT_WRITE       BIT(1)
#define EPT_EXECUTE     BIT(2)
#define EPT_WRITE_BACK  (6UL << 3)
#define EPT_IGNORE_PAT  BIT(6)
#define EPT_LARGE       BIT(7)
#define EPT_ACCESSED    BIT(8)
#define EPT_DIRTY       BIT(9)
#define EPT_SUPPRESS_VE BIT(63)
#define EPT_ADDRESS     0x000ffffffffff000UL

/* The EPT pointer (25.6.11). */
#define EPTP_WRITE_BACK     6UL
#define EPTP_4_LEVELS       (3UL << 3)
#define EPTP_ACCESSED_DIRTY BIT(6)

/*
 * No device is passed through, so the guest's PAT is ignored: its RAM is write-back whatever it
 * says, and never has two types at once in the guest's view and in ours.
 */
static struct nested_layout layout = {
	.name = "EPT",
	.table = EPT_READ | EPT_WRITE | EPT_EXECUTE,
	.leaf = EPT_READ | EPT_WRITE | EPT_EXECUTE | EPT_WRITE_BACK | EPT_IGNORE_PAT,
	/* A write stops the guest: no exception tells it first (26.5.7.1). */
	.shared = EPT_READ | EPT_WRITE_BACK | EPT_IGNORE_PAT | EPT_SUPPRESS_VE,
	.large = EPT_LARGE,
	.empty = EPT_SUPPRESS_VE,
	.gone = EPT_SUPPRESS_VE,
	.present = EPT_READ | EPT_WRITE | EPT_EXECUTE,
};

static bool accessed_dirty(void)
{
	return vmx_capabilities.ept & EPT_CAP_ACCESSED_DIRTY;
}

__init const struct nested_layout *ept_layout(void)
{
	layout.accessed = accessed_dirty() ? EPT_ACCESSED : 0;
	layout.dirty = accessed_dirty() ? EPT_DIRTY : 0;
	/* 26.5.7.1: without suppress-#VE, and where the guest has asked for it. */
	layout.gone = vmx_capabilities.ve ? 0 : EPT_SUPPRESS_VE;
	layout.huge = vmx_capabilities.ept & EPT_CAP_1G;
	return &layout;
}

u64 ept_pointer(hpa_t root)
{
	return root.raw | EPTP_4_LEVELS | EPTP_WRITE_BACK |
	       (accessed_dirty() ? EPTP_ACCESSED_DIRTY : 0);
}

void ept_flush(const struct vmx_vcpu *vmx)
{
	if (!invept(vmx_capabilities.invept_type, vmx->ept_pointer))
		BUG("INVEPT was refused for EPT pointer 0x%lx", vmx->ept_pointer);
}

void vpid_flush(const struct vmx_vcpu *vmx)
{
	/* Without VPID every entry and exit flushes (29.4.3.1). */
	if (vmx_capabilities.invvpid_type && !invvpid(vmx_capabilities.invvpid_type, vmx->vpid))
		BUG("INVVPID was refused for VPID %u", vmx->vpid);
}

void ept_dump(const struct vcpu *vcpu, gpa_t address)
{
	hpa_t table = vcpu->vm->memory.root;

	for (int level = 4; level >= 1; level--) {
		unsigned index = address.raw >> (PAGE_SHIFT + 9 * (level - 1)) & 511;
		const u64 *entry = (const u64 *)hpa_to_ptr(table) + index;

		log_error("  EPT level %d, table 0x%lx, entry %u: 0x%016lx", level, table.raw,
			index, *entry);
		if (!(*entry & layout.present) || (*entry & EPT_LARGE))
			return;
		table = hpa(*entry & EPT_ADDRESS);
	}
}
