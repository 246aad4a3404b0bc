/*
 * Arithmetic with flags, as the processor does it (Intel SDM vol. 1, 3.4.3.1). Pure.
 */
#ifndef GUEST_ALU_H
#define GUEST_ALU_H

#include "arch/x86/guest/decode.h"

/*
 * @a @alu @b on operands of @bytes (1, 2, 4, 8); *@flags is RFLAGS before and after. Returns the
 * result, zero-extended; of CMP and TEST only the flags matter. AF after a logical operation is
 * undefined in the manual; here it is 0.
 */
u64 alu_compute(enum alu alu, u64 a, u64 b, unsigned bytes, u64 *flags);

#endif
