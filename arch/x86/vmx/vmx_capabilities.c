/*
 * What the processor's VMX offers (Intel SDM vol. 3, appendix A), what Sluice must have of it, and
 * which controls follow. Decided once, on the boot processor; every other processor is checked to
 * be able to do it too before it is counted.
 */
#include "arch/x86/arch.h"
#include "arch/x86/processor.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_msr.h"
#include "kernel/core/log.h"

#include <abi/errno.h>

struct vmx_capabilities vmx_capabilities;

/* How Sluice stands to one bit of a control field. */
enum want { MUST_BE_SET, MUST_BE_CLEAR, SET_IF_POSSIBLE };

struct control {
	u32 bit;
	enum want want;
	const char *name; /* as the manual calls it */
};

static const struct control pin_controls[] = {
	{PIN_EXTERNAL_INTERRUPT, MUST_BE_SET, "external-interrupt exiting"},
	{PIN_NMI, MUST_BE_SET, "NMI exiting"},
	{PIN_VIRTUAL_NMIS, MUST_BE_SET, "virtual NMIs"},
	{PIN_PREEMPTION_TIMER, SET_IF_POSSIBLE, "VMX-preemption timer"},
};

/* What is not named here is left to the guest: CR3, INVLPG, RDTSC and the debug registers do not
 * exit. */
static const struct control primary_controls[] = {
	{PRIMARY_HLT, MUST_BE_SET, "HLT exiting"},
	{PRIMARY_MWAIT, MUST_BE_SET, "MWAIT exiting"},
	{PRIMARY_MONITOR, MUST_BE_SET, "MONITOR exiting"},
	{PRIMARY_RDPMC, MUST_BE_SET, "RDPMC exiting"},
	{PRIMARY_CR8_LOAD, MUST_BE_SET, "CR8-load exiting"},
	{PRIMARY_CR8_STORE, MUST_BE_SET, "CR8-store exiting"},
	{PRIMARY_IO_BITMAPS, MUST_BE_SET, "use I/O bitmaps"},
	{PRIMARY_MSR_BITMAPS, MUST_BE_SET, "use MSR bitmaps"},
	{PRIMARY_SECONDARY, MUST_BE_SET, "activate secondary controls"},
	{PRIMARY_CR3_LOAD, MUST_BE_CLEAR, "CR3-load exiting"},
	{PRIMARY_CR3_STORE, MUST_BE_CLEAR, "CR3-store exiting"},
	{PRIMARY_INVLPG, MUST_BE_CLEAR, "INVLPG exiting"},
	{PRIMARY_RDTSC, MUST_BE_CLEAR, "RDTSC exiting"},
	{PRIMARY_MOV_DR, MUST_BE_CLEAR, "MOV-DR exiting"},
	{PRIMARY_TSC_OFFSETTING, MUST_BE_CLEAR, "use TSC offsetting"},
};
/* Set and cleared while a guest runs. */
#define PRIMARY_WINDOWS (PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW)

static const struct control secondary_controls[] = {
	{SECONDARY_EPT, MUST_BE_SET, "enable EPT"},
	{SECONDARY_UNRESTRICTED_GUEST, MUST_BE_SET, "unrestricted guest"},
	{SECONDARY_WBINVD, MUST_BE_SET, "WBINVD exiting"},
	{SECONDARY_VPID, SET_IF_POSSIBLE, "enable VPID"},
	{SECONDARY_INVPCID, SET_IF_POSSIBLE, "enable INVPCID"},
	{SECONDARY_XSAVES, MUST_BE_CLEAR, "enable XSAVES/XRSTORS"},
};

static const struct control exit_controls[] = {
	{EXIT_HOST_64_BIT, MUST_BE_SET, "host address-space size"},
	{EXIT_ACKNOWLEDGE, MUST_BE_SET, "acknowledge interrupt on exit"},
	{EXIT_SAVE_DEBUG, MUST_BE_SET, "save debug controls"},
	{EXIT_SAVE_PAT, MUST_BE_SET, "save IA32_PAT"},
	{EXIT_LOAD_PAT, MUST_BE_SET, "load IA32_PAT (exit)"},
	{EXIT_SAVE_EFER, MUST_BE_SET, "save IA32_EFER"},
	{EXIT_LOAD_EFER, MUST_BE_SET, "load IA32_EFER (exit)"},
	{EXIT_SAVE_TIMER_VALUE, SET_IF_POSSIBLE, "save VMX-preemption timer value"},
};

static const struct control entry_controls[] = {
	{ENTRY_LOAD_DEBUG, MUST_BE_SET, "load debug controls"},
	{ENTRY_LOAD_PAT, MUST_BE_SET, "load IA32_PAT (entry)"},
	{ENTRY_LOAD_EFER, MUST_BE_SET, "load IA32_EFER (entry)"},
};
/* Follows the guest's mode. */
#define ENTRY_MODE ENTRY_IA32E

/*
 * Chooses the controls of one field from its capability MSR: the low half holds the bits that must
 * be 1 (allowed-0), the high half those that may be 1 (allowed-1). @changing bits must be free to
 * change while a guest runs. Names each thing that is missing; returns how many.
 */
static unsigned choose_controls(const char *field, u32 msr, const struct control *controls,
	unsigned count, u32 changing, u32 *chosen)
{
	u64 capability = rdmsr(msr);
	u32 must = (u32)capability, may = (u32)(capability >> 32);
	unsigned missing = 0;

	*chosen = must & ~changing;
	for (const struct control *c = controls; c < controls + count; c++) {
		bool wrong = c->want == MUST_BE_SET ? !(may & c->bit)
						    : c->want == MUST_BE_CLEAR && (must & c->bit);

		if (wrong) {
			log_error("VMX: the processor cannot %s \"%s\" (%s controls, MSR 0x%x = "
				  "0x%lx)",
				c->want == MUST_BE_SET ? "set" : "clear", c->name, field, msr,
				capability);
			missing++;
		} else if (c->want != MUST_BE_CLEAR) {
			*chosen |= c->bit & may;
		}
	}
	if (changing & (must | ~may)) {
		log_error("VMX: bits 0x%x of the %s controls cannot change (MSR 0x%x = 0x%lx)",
			changing & (must | ~may), field, msr, capability);
		missing++;
	}
	return missing;
}

static unsigned choose_all_controls(struct vmx_capabilities *caps, bool true_controls)
{
	unsigned missing = 0;

	missing += choose_controls("pin-based",
		true_controls ? MSR_VMX_TRUE_PIN_CONTROLS : MSR_VMX_PIN_CONTROLS, pin_controls,
		ARRAY_SIZE(pin_controls), 0, &caps->pin);
	missing += choose_controls("primary processor-based",
		true_controls ? MSR_VMX_TRUE_PRIMARY_CONTROLS : MSR_VMX_PRIMARY_CONTROLS,
		primary_controls, ARRAY_SIZE(primary_controls), PRIMARY_WINDOWS, &caps->primary);
	missing += choose_controls("VM-exit",
		true_controls ? MSR_VMX_TRUE_EXIT_CONTROLS : MSR_VMX_EXIT_CONTROLS, exit_controls,
		ARRAY_SIZE(exit_controls), 0, &caps->exit);
	missing += choose_controls("VM-entry",
		true_controls ? MSR_VMX_TRUE_ENTRY_CONTROLS : MSR_VMX_ENTRY_CONTROLS,
		entry_controls, ARRAY_SIZE(entry_controls), ENTRY_MODE, &caps->entry);
	/* The MSR exists only where the control that activates the field may be 1. */
	if (caps->primary & PRIMARY_SECONDARY)
		missing += choose_controls("secondary processor-based", MSR_VMX_SECONDARY_CONTROLS,
			secondary_controls, ARRAY_SIZE(secondary_controls), 0, &caps->secondary);
	return missing;
}

static unsigned check_ept(struct vmx_capabilities *caps)
{
	static const struct {
		u64 bit;
		const char *name;
	} needed[] = {
		{EPT_CAP_4_LEVELS, "page walks of 4 levels"},
		{EPT_CAP_WRITE_BACK, "write-back memory for the tables"},
		{EPT_CAP_2M, "2 MiB pages"},
		{EPT_CAP_INVEPT, "INVEPT"},
	};
	unsigned missing = 0;

	if (!(caps->secondary & SECONDARY_EPT))
		return 0; /* named already */
	/* Readable where EPT or VPID may be enabled (A.10). */
	caps->ept = rdmsr(MSR_VMX_EPT_VPID_CAP);
	for (unsigned i = 0; i < ARRAY_SIZE(needed); i++)
		if (!(caps->ept & needed[i].bit)) {
			log_error("VMX: EPT lacks %s (MSR 0x%x = 0x%lx)", needed[i].name,
				MSR_VMX_EPT_VPID_CAP, caps->ept);
			missing++;
		}

	if (caps->ept & EPT_CAP_INVEPT_SINGLE)
		caps->invept_type = INVALIDATE_SINGLE_CONTEXT;
	else if (caps->ept & EPT_CAP_INVEPT_ALL)
		caps->invept_type = INVALIDATE_ALL_CONTEXTS;
	else if (caps->ept & EPT_CAP_INVEPT) {
		log_error("VMX: INVEPT has no type that Sluice knows (MSR 0x%x = 0x%lx)",
			MSR_VMX_EPT_VPID_CAP, caps->ept);
		missing++;
	}

	/* A VPID without a way to flush it is worse than none: then every transition flushes. */
	if (!(caps->ept & EPT_CAP_INVVPID) || !(caps->secondary & SECONDARY_VPID))
		caps->invvpid_type = 0;
	else if (caps->ept & EPT_CAP_INVVPID_SINGLE)
		caps->invvpid_type = INVALIDATE_SINGLE_CONTEXT;
	else if (caps->ept & EPT_CAP_INVVPID_ALL)
		caps->invvpid_type = INVALIDATE_ALL_CONTEXTS;
	if (caps->invvpid_type == 0)
		caps->secondary &= ~(u32)SECONDARY_VPID;
	return missing;
}

/* CPUID 1 EAX of processors whose preemption timer does not count at the rate it should: errata
 * AAT59 and AAU65 (Core i3 to i7 of 2010), and a stepping of the Xeon E3-1200 v2. Older ones have
 * it too, and no unrestricted guest. */
static const u32 wrong_timers[] = {0x20652, 0x20655, 0x306a8};

static bool timer_is_wrong(void)
{
	u32 signature = cpuid(1, 0).eax & 0x0fff3fff; /* family, model and stepping */

	for (unsigned i = 0; i < ARRAY_SIZE(wrong_timers); i++)
		if (signature == wrong_timers[i])
			return true;
	return false;
}

/* The timer is of use only if exits keep what is left of it: else it would start anew at each
 * entry. */
static void check_preemption_timer(struct vmx_capabilities *caps)
{
	caps->preemption_timer = (caps->pin & PIN_PREEMPTION_TIMER) &&
				 (caps->exit & EXIT_SAVE_TIMER_VALUE) && !timer_is_wrong();
	if (!caps->preemption_timer) {
		caps->pin &= ~(u32)PIN_PREEMPTION_TIMER;
		caps->exit &= ~(u32)EXIT_SAVE_TIMER_VALUE;
	}
	caps->timer_shift = (u8)(rdmsr(MSR_VMX_MISC) & 31);
}

static unsigned check_basic(struct vmx_capabilities *caps, u64 basic)
{
	unsigned missing = 0;

	caps->revision = (u32)basic & 0x7fffffff;
	if (VMX_BASIC_SIZE(basic) > PAGE_SIZE) {
		log_error("VMX: a VMCS takes %lu bytes, a page has %lu", VMX_BASIC_SIZE(basic),
			PAGE_SIZE);
		missing++;
	}
	if (basic & VMX_BASIC_32_BIT) {
		log_error("VMX: structures must lie below 4 GiB (MSR 0x%x = 0x%lx)", MSR_VMX_BASIC,
			basic);
		missing++;
	}
	if (VMX_BASIC_MEMORY_TYPE(basic) != 6) {
		log_error("VMX: structures need memory type %lu, write-back (6) expected",
			VMX_BASIC_MEMORY_TYPE(basic));
		missing++;
	}
	return missing;
}

/* Whether the firmware leaves VT-x to us on this processor: 0, or -ENOSYS after a message. */
static int check_feature_control(unsigned cpu)
{
	u64 control = rdmsr(MSR_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCKED) || (control & FEATURE_CONTROL_VMX))
		return 0;
	log_error("VMX: the firmware has switched VT-x off on CPU %u and locked it "
		  "(IA32_FEATURE_CONTROL = 0x%lx): switch it on in the firmware's setup",
		cpu, control);
	return -SLUICE_ENOSYS;
}

/*
 * What was chosen from the boot processor's MSRs must hold on every other. Their values may differ
 * in what is not used: kinds of cores in one machine, or patches of microcode.
 */
static bool suits(u32 msr, u32 chosen, u32 changing)
{
	u64 capability = rdmsr(msr);
	u32 must = (u32)capability, may = (u32)(capability >> 32);

	return !(chosen & ~may) && !(must & ~chosen) && !(changing & (must | ~may));
}

#define EPT_CAPS_USED                                                                              \
	(EPT_CAP_4_LEVELS | EPT_CAP_WRITE_BACK | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_INVEPT |        \
		EPT_CAP_ACCESSED_DIRTY | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL |              \
		EPT_CAP_INVVPID | EPT_CAP_INVVPID_SINGLE | EPT_CAP_INVVPID_ALL)

/* The first MSR that does not suit; 0: all do. */
static u32 unsuitable_msr(const struct vmx_capabilities *caps)
{
	bool true_controls = rdmsr(MSR_VMX_BASIC) & VMX_BASIC_TRUE_CONTROLS;
	struct vmx_capabilities here = {0};

	if (check_basic(&here, rdmsr(MSR_VMX_BASIC)) || here.revision != caps->revision)
		return MSR_VMX_BASIC;
	if (!suits(true_controls ? MSR_VMX_TRUE_PIN_CONTROLS : MSR_VMX_PIN_CONTROLS, caps->pin, 0))
		return MSR_VMX_PIN_CONTROLS;
	if (!suits(true_controls ? MSR_VMX_TRUE_PRIMARY_CONTROLS : MSR_VMX_PRIMARY_CONTROLS,
		    caps->primary, PRIMARY_WINDOWS))
		return MSR_VMX_PRIMARY_CONTROLS;
	if (!suits(MSR_VMX_SECONDARY_CONTROLS, caps->secondary, 0) ||
		(caps->ve &&
			!(rdmsr(MSR_VMX_SECONDARY_CONTROLS) >> 32 & SECONDARY_EPT_VIOLATION_VE)))
		return MSR_VMX_SECONDARY_CONTROLS;
	if (!suits(true_controls ? MSR_VMX_TRUE_EXIT_CONTROLS : MSR_VMX_EXIT_CONTROLS, caps->exit,
		    0))
		return MSR_VMX_EXIT_CONTROLS;
	if (!suits(true_controls ? MSR_VMX_TRUE_ENTRY_CONTROLS : MSR_VMX_ENTRY_CONTROLS,
		    caps->entry, ENTRY_MODE))
		return MSR_VMX_ENTRY_CONTROLS;
	if (caps->ept & EPT_CAPS_USED & ~rdmsr(MSR_VMX_EPT_VPID_CAP))
		return MSR_VMX_EPT_VPID_CAP;
	if (rdmsr(MSR_VMX_CR0_FIXED0) & ~caps->cr0_fixed0)
		return MSR_VMX_CR0_FIXED0;
	if (caps->cr0_fixed1 & ~rdmsr(MSR_VMX_CR0_FIXED1))
		return MSR_VMX_CR0_FIXED1;
	if (rdmsr(MSR_VMX_CR4_FIXED0) & ~caps->cr4_fixed0)
		return MSR_VMX_CR4_FIXED0;
	if (caps->cr4_fixed1 & ~rdmsr(MSR_VMX_CR4_FIXED1))
		return MSR_VMX_CR4_FIXED1;
	if (caps->preemption_timer && (rdmsr(MSR_VMX_MISC) & 31) != caps->timer_shift)
		return MSR_VMX_MISC;
	return 0;
}

int vmx_cpu_check(void)
{
	unsigned cpu = this_cpu()->index;
	u32 msr;

	if (!vmx_present()) {
		log_error("VMX: CPU %u has no VT-x (CPUID leaf 1 ECX bit 5 is clear)", cpu);
		return -SLUICE_ENOSYS;
	}
	if (check_feature_control(cpu))
		return -SLUICE_ENOSYS;
	msr = unsuitable_msr(&vmx_capabilities);
	if (msr == 0)
		return 0;
	log_error("VMX: CPU %u cannot do what the boot CPU can: MSR 0x%x is 0x%lx there", cpu, msr,
		rdmsr(msr));
	return -SLUICE_EINVAL;
}

bool vmx_present(void)
{
	return cpuid(1, 0).ecx & BIT(5);
}

int vmx_probe(void)
{
	struct vmx_capabilities *caps = &vmx_capabilities;
	unsigned missing = 0;
	u64 basic;

	if (!vmx_present()) {
		log_error("VMX: CPUID leaf 1 ECX bit 5 is clear: no VT-x");
		return -SLUICE_ENOSYS;
	}
	if (check_feature_control(this_cpu()->index))
		return -SLUICE_ENOSYS;

	basic = rdmsr(MSR_VMX_BASIC);
	caps->cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0);
	caps->cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1);
	caps->cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0);
	caps->cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1);
	missing += check_basic(caps, basic);
	missing += choose_all_controls(caps, basic & VMX_BASIC_TRUE_CONTROLS);
	missing += check_ept(caps);
	if (missing)
		return -SLUICE_ENOSYS;
	caps->ve = rdmsr(MSR_VMX_SECONDARY_CONTROLS) >> 32 & SECONDARY_EPT_VIOLATION_VE;
	check_preemption_timer(caps);
	if (vmcs_create_bitmaps()) {
		log_error("VMX: no memory for the MSR and I/O bitmaps");
		return -SLUICE_ENOMEM;
	}
	log_info("VMX: revision 0x%x, EPT pages 4K 2M%s, accessed/dirty bits %s, #VE %s, VPID %s, "
		 "slices "
		 "by %s",
		caps->revision, caps->ept & EPT_CAP_1G ? " 1G" : "",
		caps->ept & EPT_CAP_ACCESSED_DIRTY ? "yes" : "no", caps->ve ? "yes" : "no",
		caps->secondary & SECONDARY_VPID ? "yes" : "no",
		caps->preemption_timer ? "preemption timer" : "LAPIC timer");
	return 0;
}
