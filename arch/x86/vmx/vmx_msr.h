/*
 * The MSRs that describe and unlock VMX (Intel SDM vol. 3, appendix A, and vol. 4).
 */
#ifndef VMX_MSR_H
#define VMX_MSR_H

#include "lib/types.h"

#define MSR_FEATURE_CONTROL    0x3a
#define FEATURE_CONTROL_LOCKED BIT(0)
#define FEATURE_CONTROL_VMX    BIT(2) /* VMXON outside SMX operation */

#define MSR_VMX_BASIC                0x480
#define VMX_BASIC_SIZE(basic)        ((basic) >> 32 & 0x1fff)
#define VMX_BASIC_32_BIT             BIT(48)
#define VMX_BASIC_MEMORY_TYPE(basic) ((basic) >> 50 & 15)
#define VMX_BASIC_TRUE_CONTROLS      BIT(55)

#define MSR_VMX_PIN_CONTROLS          0x481
#define MSR_VMX_PRIMARY_CONTROLS      0x482
#define MSR_VMX_EXIT_CONTROLS         0x483
#define MSR_VMX_ENTRY_CONTROLS        0x484
#define MSR_VMX_MISC                  0x485
#define MSR_VMX_CR0_FIXED0            0x486
#define MSR_VMX_CR0_FIXED1            0x487
#define MSR_VMX_CR4_FIXED0            0x488
#define MSR_VMX_CR4_FIXED1            0x489
#define MSR_VMX_SECONDARY_CONTROLS    0x48b
#define MSR_VMX_TRUE_PIN_CONTROLS     0x48d
#define MSR_VMX_TRUE_PRIMARY_CONTROLS 0x48e
#define MSR_VMX_TRUE_EXIT_CONTROLS    0x48f
#define MSR_VMX_TRUE_ENTRY_CONTROLS   0x490

#define MSR_VMX_EPT_VPID_CAP   0x48c
#define EPT_CAP_4_LEVELS       BIT(6)
#define EPT_CAP_WRITE_BACK     BIT(14)
#define EPT_CAP_2M             BIT(16)
#define EPT_CAP_1G             BIT(17)
#define EPT_CAP_INVEPT         BIT(20)
#define EPT_CAP_ACCESSED_DIRTY BIT(21)
#define EPT_CAP_INVEPT_SINGLE  BIT(25)
#define EPT_CAP_INVEPT_ALL     BIT(26)
#define EPT_CAP_INVVPID        BIT(32)
#define EPT_CAP_INVVPID_SINGLE BIT(41)
#define EPT_CAP_INVVPID_ALL    BIT(42)

#define MSR_DEBUGCTL 0x1d9

#endif
