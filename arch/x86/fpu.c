/*
 * A guest's x87 and SSE state as a processor has it after INIT (Intel SDM vol. 3, table 9-1, and
 * vol. 1, 10.5: the FXSAVE image). Saving and loading are in pages.S.
 */
#include <string.h>

#include "arch/x86/arch.h"

#define FXSAVE_FCW     0
#define FXSAVE_MXCSR   24
#define FCW_AFTER_INIT 0x037f /* what FNINIT sets: all masked, extended precision */
#define MXCSR_DEFAULT  0x1f80

COLD void arch_fpu_reset(void *state)
{
	static const u16 fcw = FCW_AFTER_INIT;
	static const u32 mxcsr = MXCSR_DEFAULT;

	memset(state, 0, FPU_STATE_SIZE);
	memcpy((char *)state + FXSAVE_FCW, &fcw, sizeof(fcw));
	memcpy((char *)state + FXSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
}
