/*
 * The MSRs that only AMD-V has (AMD APM vol. 2, 15.30).
 */
#ifndef SVM_SVM_MSR_H
#define SVM_SVM_MSR_H

#define MSR_VM_CR       0xc0010114u
#define MSR_VM_HSAVE_PA 0xc0010117u

#define VM_CR_LOCK   BIT(3)
#define VM_CR_SVMDIS BIT(4)

#endif
