/* What must hold of every plan whatever the samples say: for unit tests and the fuzzer. */
#ifndef TESTS_BALLOON_CHECK_H
#define TESTS_BALLOON_CHECK_H

#include "balloon/balloon.h"

/* NULL, or what is wrong with @plan, which followed from @samples when targets were those of
 * @before (RAM; only of guests that were planned before, as @known says). */
const char *balloon_check(const struct balloon *balloon, const struct balloon_sample *samples,
	unsigned count, const struct balloon_plan *plan, const struct balloon_target *before,
	const bool *known);

#endif
