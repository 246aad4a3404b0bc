/*
 * Which pages of a pool are worth trying to compress. A pool whose last pages did not become
 * smaller is asked again after 1, 3, 7 and then 15 pages, and at each page once one did. Random
 * data costs a try in 16 pages then, and a pool that is mixed hardly ever waits: where one page in
 * two compresses, a row of nine that do not comes once in 512.
 */
#ifndef TMEM_ADMISSION_H
#define TMEM_ADMISSION_H

#include "lib/types.h"

#define ADMISSION_PATIENCE 8U /* failures in a row before any page is let pass */
#define ADMISSION_DOUBLED  4U

/* Zeroed for a new pool; under the client's lock. */
struct admission {
	u8 failures; /* in a row, up to the two above added */
	u8 skip;     /* pages not to try */
};

/* Whether to try this page. */
static inline bool admission_try(struct admission *admission)
{
	if (likely(!admission->skip))
		return true;
	admission->skip--;
	return false;
}

/* What came of it. */
static inline void admission_note(struct admission *admission, bool saved)
{
	if (saved) {
		admission->failures = 0;
		return;
	}
	if (admission->failures < ADMISSION_PATIENCE + ADMISSION_DOUBLED)
		admission->failures++;
	if (admission->failures > ADMISSION_PATIENCE)
		admission->skip = (u8)((1U << (admission->failures - ADMISSION_PATIENCE)) - 1);
}

#endif
