/*
 * The VMCS as the manual lays it out (Intel SDM vol. 3, chapters 25 to 28 and appendices B, C), and
 * the VMX instructions as C functions. Names only; what Sluice does with them is in the .c files.
 */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include "lib/types.h"

/* ---- Fields (appendix B) -----------------------------------------------------------------------
 */

enum vmcs_field {
	VMCS_VPID = 0x0000,

	GUEST_ES_SELECTOR = 0x0800,
	GUEST_CS_SELECTOR = 0x0802,
	GUEST_SS_SELECTOR = 0x0804,
	GUEST_DS_SELECTOR = 0x0806,
	GUEST_FS_SELECTOR = 0x0808,
	GUEST_GS_SELECTOR = 0x080a,
	GUEST_LDTR_SELECTOR = 0x080c,
	GUEST_TR_SELECTOR = 0x080e,

	HOST_ES_SELECTOR = 0x0c00,
	HOST_CS_SELECTOR = 0x0c02,
	HOST_SS_SELECTOR = 0x0c04,
	HOST_DS_SELECTOR = 0x0c06,
	HOST_FS_SELECTOR = 0x0c08,
	HOST_GS_SELECTOR = 0x0c0a,
	HOST_TR_SELECTOR = 0x0c0c,

	VMCS_IO_BITMAP_A = 0x2000,
	VMCS_IO_BITMAP_B = 0x2002,
	VMCS_MSR_BITMAP = 0x2004,
	VMCS_EPT_POINTER = 0x201a,
	VMCS_VE_INFORMATION = 0x202a,

	VMCS_GUEST_PHYSICAL_ADDRESS = 0x2400,

	GUEST_VMCS_LINK = 0x2800,
	GUEST_DEBUGCTL = 0x2802,
	GUEST_PAT = 0x2804,
	GUEST_EFER = 0x2806,
	GUEST_PDPTE0 = 0x280a, /* and three more, 2 apart */

	HOST_PAT = 0x2c00,
	HOST_EFER = 0x2c02,

	VMCS_PIN_CONTROLS = 0x4000,
	VMCS_PRIMARY_CONTROLS = 0x4002,
	VMCS_EXCEPTION_BITMAP = 0x4004,
	VMCS_PF_ERROR_MASK = 0x4006,
	VMCS_PF_ERROR_MATCH = 0x4008,
	VMCS_CR3_TARGETS = 0x400a,
	VMCS_EXIT_CONTROLS = 0x400c,
	VMCS_EXIT_MSR_STORES = 0x400e,
	VMCS_EXIT_MSR_LOADS = 0x4010,
	VMCS_ENTRY_CONTROLS = 0x4012,
	VMCS_ENTRY_MSR_LOADS = 0x4014,
	VMCS_ENTRY_EVENT = 0x4016,
	VMCS_ENTRY_ERROR_CODE = 0x4018,
	VMCS_ENTRY_INSTRUCTION_LENGTH = 0x401a,
	VMCS_SECONDARY_CONTROLS = 0x401e,

	VMCS_INSTRUCTION_ERROR = 0x4400,
	VMCS_EXIT_REASON = 0x4402,
	VMCS_EXIT_EVENT = 0x4404,
	VMCS_EXIT_ERROR_CODE = 0x4406,
	VMCS_VECTORING_EVENT = 0x4408,
	VMCS_VECTORING_ERROR_CODE = 0x440a,
	VMCS_EXIT_INSTRUCTION_LENGTH = 0x440c,

	GUEST_ES_LIMIT = 0x4800,
	GUEST_CS_LIMIT = 0x4802,
	GUEST_SS_LIMIT = 0x4804,
	GUEST_DS_LIMIT = 0x4806,
	GUEST_FS_LIMIT = 0x4808,
	GUEST_GS_LIMIT = 0x480a,
	GUEST_LDTR_LIMIT = 0x480c,
	GUEST_TR_LIMIT = 0x480e,
	GUEST_GDTR_LIMIT = 0x4810,
	GUEST_IDTR_LIMIT = 0x4812,
	GUEST_ES_RIGHTS = 0x4814,
	GUEST_CS_RIGHTS = 0x4816,
	GUEST_SS_RIGHTS = 0x4818,
	GUEST_DS_RIGHTS = 0x481a,
	GUEST_FS_RIGHTS = 0x481c,
	GUEST_GS_RIGHTS = 0x481e,
	GUEST_LDTR_RIGHTS = 0x4820,
	GUEST_TR_RIGHTS = 0x4822,
	GUEST_INTERRUPTIBILITY = 0x4824,
	GUEST_ACTIVITY = 0x4826,
	GUEST_SYSENTER_CS = 0x482a,
	GUEST_PREEMPTION_TIMER = 0x482e,

	HOST_SYSENTER_CS = 0x4c00,

	VMCS_CR0_MASK = 0x6000,
	VMCS_CR4_MASK = 0x6002,
	VMCS_CR0_SHADOW = 0x6004,
	VMCS_CR4_SHADOW = 0x6006,

	VMCS_EXIT_QUALIFICATION = 0x6400,
	VMCS_GUEST_LINEAR_ADDRESS = 0x640a,

	GUEST_CR0 = 0x6800,
	GUEST_CR3 = 0x6802,
	GUEST_CR4 = 0x6804,
	GUEST_ES_BASE = 0x6806,
	GUEST_CS_BASE = 0x6808,
	GUEST_SS_BASE = 0x680a,
	GUEST_DS_BASE = 0x680c,
	GUEST_FS_BASE = 0x680e,
	GUEST_GS_BASE = 0x6810,
	GUEST_LDTR_BASE = 0x6812,
	GUEST_TR_BASE = 0x6814,
	GUEST_GDTR_BASE = 0x6816,
	GUEST_IDTR_BASE = 0x6818,
	GUEST_DR7 = 0x681a,
	GUEST_RSP = 0x681c,
	GUEST_RIP = 0x681e,
	GUEST_RFLAGS = 0x6820,
	GUEST_PENDING_DEBUG = 0x6822,
	GUEST_SYSENTER_ESP = 0x6824,
	GUEST_SYSENTER_EIP = 0x6826,

	HOST_CR0 = 0x6c00,
	HOST_CR3 = 0x6c02,
	HOST_CR4 = 0x6c04,
	HOST_FS_BASE = 0x6c06,
	HOST_GS_BASE = 0x6c08,
	HOST_TR_BASE = 0x6c0a,
	HOST_GDTR_BASE = 0x6c0c,
	HOST_IDTR_BASE = 0x6c0e,
	HOST_SYSENTER_ESP = 0x6c10,
	HOST_SYSENTER_EIP = 0x6c12,
	HOST_RSP = 0x6c14,
	HOST_RIP = 0x6c16,
};

/* ---- Controls (25.6 to 25.8) -------------------------------------------------------------------
 */

#define PIN_EXTERNAL_INTERRUPT BIT(0)
#define PIN_NMI                BIT(3)
#define PIN_VIRTUAL_NMIS       BIT(5)
#define PIN_PREEMPTION_TIMER   BIT(6)

#define PRIMARY_INTERRUPT_WINDOW BIT(2)
#define PRIMARY_TSC_OFFSETTING   BIT(3)
#define PRIMARY_HLT              BIT(7)
#define PRIMARY_INVLPG           BIT(9)
#define PRIMARY_MWAIT            BIT(10)
#define PRIMARY_RDPMC            BIT(11)
#define PRIMARY_RDTSC            BIT(12)
#define PRIMARY_CR3_LOAD         BIT(15)
#define PRIMARY_CR3_STORE        BIT(16)
#define PRIMARY_CR8_LOAD         BIT(19)
#define PRIMARY_CR8_STORE        BIT(20)
#define PRIMARY_NMI_WINDOW       BIT(22)
#define PRIMARY_MOV_DR           BIT(23)
#define PRIMARY_IO_BITMAPS       BIT(25)
#define PRIMARY_MSR_BITMAPS      BIT(28)
#define PRIMARY_MONITOR          BIT(29)
#define PRIMARY_SECONDARY        BIT(31)

#define SECONDARY_EPT                BIT(1)
#define SECONDARY_VPID               BIT(5)
#define SECONDARY_WBINVD             BIT(6)
#define SECONDARY_UNRESTRICTED_GUEST BIT(7)
#define SECONDARY_INVPCID            BIT(12)
#define SECONDARY_EPT_VIOLATION_VE   BIT(18)
#define SECONDARY_XSAVES             BIT(20)

#define EXIT_SAVE_DEBUG       BIT(2)
#define EXIT_HOST_64_BIT      BIT(9)
#define EXIT_ACKNOWLEDGE      BIT(15)
#define EXIT_SAVE_PAT         BIT(18)
#define EXIT_LOAD_PAT         BIT(19)
#define EXIT_SAVE_EFER        BIT(20)
#define EXIT_LOAD_EFER        BIT(21)
#define EXIT_SAVE_TIMER_VALUE BIT(22)

#define ENTRY_LOAD_DEBUG BIT(2)
#define ENTRY_IA32E      BIT(9)
#define ENTRY_LOAD_PAT   BIT(14)
#define ENTRY_LOAD_EFER  BIT(15)

/* ---- Events (25.8.3, 25.9.2, 25.9.3) ------------------------------------------------------------
 */

#define EVENT_VECTOR(info) ((u8)(info))
#define EVENT_TYPE(info)   ((u8)((info) >> 8 & 7))
#define EVENT_TYPE_SHIFT   8
#define EVENT_HAS_ERROR    BIT(11)
#define EVENT_NMI_UNBLOCKED                                                                        \
	BIT(12) /* exit event only: an IRET had just ended the blocking by NMI */
#define EVENT_IS_VALID BIT(31)

/* Types beside those that both vendors share (kernel/vm/vcpu.h). */
#define EVENT_PRIVILEGED_SOFT_EXCEPTION 5 /* INT1 */
#define EVENT_SOFT_EXCEPTION            6 /* INT3, INTO */

#define BLOCKING_BY_STI    BIT(0)
#define BLOCKING_BY_MOV_SS BIT(1)
#define BLOCKING_BY_NMI    BIT(3)

#define PENDING_DEBUG_BS BIT(14)

/* Segment access rights (25.4.1): the descriptor's bits 40..55. */
#define RIGHTS_DPL_SHIFT 5
#define RIGHTS_LONG      BIT(13)
#define RIGHTS_BIG       BIT(14)
#define RIGHTS_UNUSABLE  BIT(16)

/* ---- Exit reasons (appendix C)
 * ------------------------------------------------------------------- */

#define EXIT_ENTRY_FAILED BIT(31)

enum vmx_exit_reason {
	EXIT_EXCEPTION_OR_NMI = 0,
	EXIT_EXTERNAL_INTERRUPT = 1,
	EXIT_TRIPLE_FAULT = 2,
	EXIT_INIT = 3,
	EXIT_INTERRUPT_WINDOW = 7,
	EXIT_NMI_WINDOW = 8,
	EXIT_TASK_SWITCH = 9,
	EXIT_CPUID = 10,
	EXIT_GETSEC = 11,
	EXIT_HLT = 12,
	EXIT_INVD = 13,
	EXIT_INVLPG = 14,
	EXIT_RDPMC = 15,
	EXIT_VMCALL = 18,
	EXIT_VMCLEAR = 19,
	EXIT_VMLAUNCH = 20,
	EXIT_VMPTRLD = 21,
	EXIT_VMPTRST = 22,
	EXIT_VMREAD = 23,
	EXIT_VMRESUME = 24,
	EXIT_VMWRITE = 25,
	EXIT_VMXOFF = 26,
	EXIT_VMXON = 27,
	EXIT_CR_ACCESS = 28,
	EXIT_IO = 30,
	EXIT_RDMSR = 31,
	EXIT_WRMSR = 32,
	EXIT_INVALID_GUEST_STATE = 33,
	EXIT_MSR_LOADING = 34,
	EXIT_MWAIT = 36,
	EXIT_MONITOR = 39,
	EXIT_MACHINE_CHECK_AT_ENTRY = 41,
	EXIT_EPT_VIOLATION = 48,
	EXIT_EPT_MISCONFIGURATION = 49,
	EXIT_INVEPT = 50,
	EXIT_PREEMPTION_TIMER = 52,
	EXIT_INVVPID = 53,
	EXIT_WBINVD = 54,
	EXIT_XSETBV = 55,
	EXIT_INVPCID = 58,
	EXIT_VMFUNC = 59,
	EXIT_SEAMCALL = 76,
	EXIT_TDCALL = 77,
};

/* Exit qualifications (28.2.1). */
#define IO_SIZE(q) ((unsigned)((q)&7) + 1)
#define IO_IN      BIT(3)
#define IO_STRING  BIT(4)
#define IO_PORT(q) ((u16)((q) >> 16))

#define CR_NUMBER(q)   ((unsigned)((q)&15))
#define CR_ACCESS(q)   ((unsigned)((q) >> 4 & 3))
#define CR_REGISTER(q) ((unsigned)((q) >> 8 & 15))
#define CR_LMSW(q)     ((u16)((q) >> 16))
enum cr_access { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW_TO };

#define EPT_Q_ACCESS        7UL /* read, write, fetch: the bits of ACCESS_* */
#define EPT_Q_LINEAR_VALID  BIT(7)
#define EPT_Q_TRANSLATED    BIT(8) /* the access itself, not the walk of the guest's page tables */
#define EPT_Q_NMI_UNBLOCKED BIT(12)

/* ---- Instructions
 * -------------------------------------------------------------------------------- */

/*
 * A VMREAD or VMWRITE of ours that is refused is a bug of ours: the #UD stops the machine with the
 * place and the registers, the field's number among them. One branch and two bytes a time, so that
 * none goes unseen.
 */
static inline u64 vmread(enum vmcs_field field)
{
	u64 value;

	__asm__ volatile("vmread %1, %0\n\tja 1f\n\tud2\n1:"
			 : "=r"(value)
			 : "r"((u64)field)
			 : "cc");
	return value;
}

/* Writes a field of the current VMCS; a field that is not there is a BUG. */
static inline void vmwrite(enum vmcs_field field, u64 value)
{
	__asm__ volatile("vmwrite %1, %0\n\tja 1f\n\tud2\n1:"
			 :
			 : "r"((u64)field), "rm"(value)
			 : "cc");
}

/* These return whether the processor did it. */
static inline bool vmxon(hpa_t region)
{
	bool failed;

	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region.raw) : "memory");
	return !failed;
}

/* The instructions of these names; false: they failed. */
static inline void vmxoff(void)
{
	__asm__ volatile("vmxoff" : : : "cc", "memory");
}

static inline bool vmptrld(hpa_t region)
{
	bool failed;

	__asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(region.raw) : "memory");
	return !failed;
}

static inline bool vmclear(hpa_t region)
{
	bool failed;

	__asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(region.raw) : "memory");
	return !failed;
}

struct invalidation {
	u64 tag; /* VPID or EPT pointer */
	u64 address;
};
#define INVALIDATE_SINGLE_CONTEXT 1UL
#define INVALIDATE_ALL_CONTEXTS   2UL

static inline bool invept(u64 type, u64 ept_pointer)
{
	struct invalidation what = {ept_pointer, 0};
	bool failed;

	__asm__ volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(what), "r"(type) : "memory");
	return !failed;
}

static inline bool invvpid(u64 type, u16 vpid)
{
	struct invalidation what = {vpid, 0};
	bool failed;

	__asm__ volatile("invvpid %1, %2" : "=@ccbe"(failed) : "m"(what), "r"(type) : "memory");
	return !failed;
}

#endif
