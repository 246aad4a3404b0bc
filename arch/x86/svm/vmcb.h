/*
 * The virtual machine control block and its constants, as the manual lays them out (AMD APM vol. 2,
 * appendix B and C). Data only; vmcb.c fills it.
 */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include "lib/types.h"

/* A segment register with its hidden part; @attributes packs descriptor bits 40-47 and 52-55. */
struct vmcb_segment {
	u16 selector;
	u16 attributes;
	u32 limit;
	u64 base;
};
_Static_assert(sizeof(struct vmcb_segment) == 16, "APM vol. 2, table B-2");

#define SEGMENT_CODE_32 0x0c9b /* present, execute/read, accessed, 32-bit, 4 KiB granular */
#define SEGMENT_DATA_32 0x0c93
#define SEGMENT_CODE_16 0x009b
#define SEGMENT_DATA_16 0x0093
#define SEGMENT_TSS_32  0x008b /* busy */
#define SEGMENT_LDT     0x0082
#define SEGMENT_LONG    BIT(9)  /* CS.L */
#define SEGMENT_DEFAULT BIT(10) /* CS.D */

struct vmcb {
	/* Control area. */
	u32 intercept_cr;         /* reads in the low half, writes in the high */
	u32 intercept_dr;         /* the same */
	u32 intercept_exceptions; /* by vector */
	u32 intercept_1;          /* INTERCEPT_* */
	u32 intercept_2;          /* INTERCEPT2_* */
	u32 intercept_3;
	u8 reserved_018[0x03c - 0x018];
	u16 pause_threshold;
	u16 pause_count;
	u64 io_permissions;  /* hpa of the 12 KiB map */
	u64 msr_permissions; /* hpa of the 8 KiB map */
	u64 tsc_offset;
	u32 asid;
	u8 tlb_control; /* TLB_* */
	u8 reserved_05d[3];
	u64 interrupt_control; /* V_* */
	u64 interrupt_shadow;  /* bit 0 */
	u64 exit_code;
	u64 exit_info_1;
	u64 exit_info_2;
	u64 exit_event; /* EXITINTINFO: what was being delivered when the exit came */
	u64 nested_paging;
	u8 reserved_098[0x0a8 - 0x098];
	u64 inject_event; /* EVENTINJ */
	u64 nested_cr3;
	u64 virtual_extensions; /* LBR, VMSAVE and VMLOAD */
	u32 clean;              /* CLEAN_* */
	u32 reserved_0c4;
	u64 next_rip; /* NRIPS only */
	u8 fetched_count;
	u8 fetched[15];
	u8 reserved_0e0[0x400 - 0x0e0];

	/* State save area. VMRUN and #VMEXIT move all but FS, GS, TR, LDTR and the MSRs from STAR
	 * to SYSENTER_EIP, which belong to VMLOAD and VMSAVE. */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 reserved_4a0[0x4cb - 0x4a0];
	u8 cpl;
	u32 reserved_4cc;
	u64 efer;
	u8 reserved_4d8[0x548 - 0x4d8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 reserved_580[0x5d8 - 0x580];
	u64 rsp;
	u64 s_cet, ssp, isst;
	u64 rax;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;
	u8 reserved_648[0x668 - 0x648];
	u64 pat;
	u64 debug_control, branch_from, branch_to, exception_from, exception_to;
	u8 reserved_698[0x1000 - 0x698];
};
_Static_assert(sizeof(struct vmcb) == 4096, "a VMCB is one page");
_Static_assert(offsetof(struct vmcb, pause_threshold) == 0x03c, "APM vol. 2, table B-1");
_Static_assert(offsetof(struct vmcb, asid) == 0x058, "APM vol. 2, table B-1");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x070, "APM vol. 2, table B-1");
_Static_assert(offsetof(struct vmcb, inject_event) == 0x0a8, "APM vol. 2, table B-1");
_Static_assert(offsetof(struct vmcb, clean) == 0x0c0, "APM vol. 2, table B-1");
_Static_assert(offsetof(struct vmcb, next_rip) == 0x0c8, "APM vol. 2, table B-1");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "APM vol. 2, table B-2");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "APM vol. 2, table B-2");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "APM vol. 2, table B-2");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "APM vol. 2, table B-2");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "APM vol. 2, table B-2");

/* ---- Intercepts ------------------------------------------------------------------------------ */

#define INTERCEPT_CR_READ(n)  BIT(n)
#define INTERCEPT_CR_WRITE(n) BIT((n) + 16)
/* Reads and writes of DR0 to DR3. */
#define INTERCEPT_DR_ADDRESSES 0x000f000fu

#define INTERCEPT_INTR     BIT(0)
#define INTERCEPT_NMI      BIT(1)
#define INTERCEPT_SMI      BIT(2)
#define INTERCEPT_INIT     BIT(3)
#define INTERCEPT_RDPMC    BIT(15)
#define INTERCEPT_CPUID    BIT(18)
#define INTERCEPT_IRET     BIT(20)
#define INTERCEPT_INVD     BIT(22)
#define INTERCEPT_HLT      BIT(24)
#define INTERCEPT_INVLPGA  BIT(26)
#define INTERCEPT_IOIO     BIT(27)
#define INTERCEPT_MSR      BIT(28)
#define INTERCEPT_SHUTDOWN BIT(31)

#define INTERCEPT2_VMRUN       BIT(0)
#define INTERCEPT2_VMMCALL     BIT(1)
#define INTERCEPT2_VMLOAD      BIT(2)
#define INTERCEPT2_VMSAVE      BIT(3)
#define INTERCEPT2_STGI        BIT(4)
#define INTERCEPT2_CLGI        BIT(5)
#define INTERCEPT2_SKINIT      BIT(6)
#define INTERCEPT2_RDTSCP      BIT(7)
#define INTERCEPT2_WBINVD      BIT(9)
#define INTERCEPT2_MONITOR     BIT(10)
#define INTERCEPT2_MWAIT       BIT(11)
#define INTERCEPT2_MWAIT_ARMED BIT(12)
#define INTERCEPT2_XSETBV      BIT(13)
#define INTERCEPT2_RDPRU       BIT(14)

/* ---- Control fields -------------------------------------------------------------------------- */

#define TLB_KEEP        0
#define TLB_FLUSH_ALL   1 /* every ASID */
#define TLB_FLUSH_GUEST 3 /* this ASID; needs flush-by-ASID */

#define V_IRQ               BIT(8)
#define V_PRIORITY_HIGHEST  (15UL << 16)
#define V_IGNORE_TPR        BIT(20)
#define V_INTERRUPT_MASKING BIT(24)
#define V_VECTOR_SHIFT      32

#define INTERRUPT_SHADOW      BIT(0)
#define NESTED_PAGING_ENABLED BIT(0)

/* Cached parts of the VMCB that the processor need not read again (APM vol. 2, 15.15.3). */
#define CLEAN_INTERCEPTS  BIT(0)
#define CLEAN_PERMISSIONS BIT(1)
#define CLEAN_ASID        BIT(2)
#define CLEAN_INTERRUPTS  BIT(3)
#define CLEAN_NESTED      BIT(4)
#define CLEAN_CR          BIT(5) /* CR0, CR3, CR4, EFER */
#define CLEAN_DR          BIT(6)
#define CLEAN_TABLES      BIT(7) /* GDT, IDT */
#define CLEAN_SEGMENTS    BIT(8)
#define CLEAN_CR2         BIT(9)
#define CLEAN_ALL         0x3ffu

/* EVENTINJ and EXITINTINFO (APM vol. 2, 15.20): bits 7:0 vector, 10:8 enum event_type. */
#define EVENT_TYPE_SHIFT  8
#define EVENT_TYPE_MASK   7
#define EVENT_HAS_ERROR   BIT(11)
#define EVENT_VALID       BIT(31)
#define EVENT_ERROR_SHIFT 32

/* EXITINFO1 of IOIO: bits 31:16 port, 6:4 size in bytes. */
#define IO_IN         BIT(0)
#define IO_STRING     BIT(2)
#define IO_SIZE_SHIFT 4
#define IO_SIZE_MASK  7
#define IO_PORT_SHIFT 16

/* EXITINFO1 of NPF: the bits of a page fault's error code. */
#define NPF_WRITE      BIT(1)
#define NPF_FETCH      BIT(4)
#define NPF_TABLE_WALK BIT(33) /* of the guest's own page tables */

/* EXITINFO1 of a MOV to or from CRn, with decode assists: bits 3:0 general register. */
#define CR_INFO_VALID BIT(63)
#define CR_INFO_REG   0xf

/* ---- Exit codes (APM vol. 2, appendix C) ----------------------------------------------------- */

enum svm_exit {
	EXIT_CR4_READ = 0x04,
	EXIT_CR8_READ = 0x08,
	EXIT_CR4_WRITE = 0x14,
	EXIT_CR8_WRITE = 0x18,
	EXIT_DR0_READ = 0x20,
	EXIT_DR3_READ = 0x23,
	EXIT_DR0_WRITE = 0x30,
	EXIT_DR3_WRITE = 0x33,
	EXIT_DB = 0x41,
	EXIT_AC = 0x51,
	EXIT_MC = 0x52,
	EXIT_INTR = 0x60,
	EXIT_NMI = 0x61,
	EXIT_SMI = 0x62,
	EXIT_INIT = 0x63,
	EXIT_RDPMC = 0x6f,
	EXIT_CPUID = 0x72,
	EXIT_IRET = 0x74,
	EXIT_INVD = 0x76,
	EXIT_HLT = 0x78,
	EXIT_INVLPGA = 0x7a,
	EXIT_IOIO = 0x7b,
	EXIT_MSR = 0x7c,
	EXIT_SHUTDOWN = 0x7f,
	EXIT_VMRUN = 0x80,
	EXIT_VMMCALL = 0x81,
	EXIT_VMLOAD = 0x82,
	EXIT_VMSAVE = 0x83,
	EXIT_STGI = 0x84,
	EXIT_CLGI = 0x85,
	EXIT_SKINIT = 0x86,
	EXIT_RDTSCP = 0x87,
	EXIT_WBINVD = 0x89,
	EXIT_MONITOR = 0x8a,
	EXIT_MWAIT = 0x8b,
	EXIT_MWAIT_ARMED = 0x8c,
	EXIT_XSETBV = 0x8d,
	EXIT_RDPRU = 0x8e,
	EXIT_NPF = 0x400,
	EXIT_INVALID = -1, /* all 64 bits set, or only the low 32 */
};

#endif
