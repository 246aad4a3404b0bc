/*
 * Which vector state guests may have: what the boot processor has, Sluice knows, and a vCPU has
 * room for; every other processor must have it too. Protection keys, MPX, AMX and the states of
 * supervisors (XSS) are left out, since each has more to it than registers (docs/platform.md).
 */
#include <string.h>

#include "arch/x86/log.h"
#include "arch/x86/processor.h"
#include "arch/x86/xsave.h"

#define CPUID_D_1_XSAVES  BIT(3)
#define CPUID_EXTENDED_8  0x80000008u
#define RESTORES_POINTERS BIT(2) /* EBX: of the x87, always */

#define MSR_XSS 0xda0

static bool fits(const struct xsave_part *part)
{
	return part->bytes > 0 && part->offset >= XSAVE_LEGACY_BYTES &&
	       (u64)part->offset + part->bytes <= FPU_STATE_SIZE;
}

static u64 states_of(const struct xsave_layout *layout, u64 supported)
{
	u64 states = supported & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512);

	if ((states & (XCR0_X87 | XCR0_SSE)) != (XCR0_X87 | XCR0_SSE))
		return 0;
	for (unsigned n = 2; n < XSAVE_STATES; n++)
		if ((states & BIT(n)) && !fits(&layout->parts[n]))
			states &= ~BIT(n);
	/* AVX-512 is three states, on top of AVX (Intel SDM vol. 1, 15.2). */
	if ((states & XCR0_AVX512) != XCR0_AVX512 || !(states & XCR0_AVX))
		states &= ~XCR0_AVX512;
	return states;
}

static struct xsave_layout look(void)
{
	struct xsave_layout layout;

	memset(&layout, 0, sizeof(layout));
	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE))
		return layout;
	for (unsigned n = 2; n < XSAVE_STATES; n++) {
		struct cpuid_result part = cpuid_if_present(0xd, n);

		layout.parts[n] = (struct xsave_part){part.eax, part.ebx};
	}
	layout.instructions = cpuid_if_present(0xd, 1).eax;
	layout.states = states_of(&layout, cpuid_if_present(0xd, 0).eax);
	return layout;
}

/* Whether a processor with @layout saves and loads what the boot processor does, in the same
 * places. */
static bool is_compatible(const struct xsave_layout *layout)
{
	const u64 states = xsave_layout.states;

	if (states & ~layout->states)
		return false;
	for (unsigned n = 2; n < XSAVE_STATES; n++)
		if ((states & BIT(n)) &&
			(layout->parts[n].bytes != xsave_layout.parts[n].bytes ||
				layout->parts[n].offset != xsave_layout.parts[n].offset))
			return false;
	return true;
}

/* All but Intel's and what descends from it. */
static bool pointers_may_stay(void)
{
	return cpuid(0, 0).ebx != 0x756e6547u /* "Genu" */ &&
	       !(cpuid_if_present(CPUID_EXTENDED_8, 0).ebx & RESTORES_POINTERS);
}

bool xsave_start(unsigned index)
{
	struct xsave_layout layout = look();

	if (index == 0) {
		xsave_layout = layout;
		x87_pointers_stay = pointers_may_stay();
	} else if (!is_compatible(&layout)) {
		log_error("CPU %u saves other vector state than the boot CPU, or elsewhere: XCR0 "
			  "may be "
			  "%#lx there",
			index, layout.states);
		return false;
	}
	if (xsave_layout.states)
		write_xcr0(xsave_layout.states);
	/* A guest under SVM may run XSAVES though it is hidden: no state of it, then. */
	if (layout.instructions & CPUID_D_1_XSAVES)
		wrmsr(MSR_XSS, 0);
	return true;
}
