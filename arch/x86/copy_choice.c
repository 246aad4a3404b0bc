/*
 * From measured times to a way of copying pages. Pure: the measuring is in copy.c.
 */
#include "arch/x86/copy.h"

u64 copy_median(u64 *samples, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		u64 sample = samples[i];
		unsigned at = i;

		for (; at > 0 && samples[at - 1] > sample; at--)
			samples[at] = samples[at - 1];
		samples[at] = sample;
	}
	return samples[count / 2];
}

enum copy_way copy_choose(const u64 ticks[COPY_WAYS])
{
	enum copy_way best = COPY_SSE;

	for (unsigned way = 1; way < COPY_WAYS; way++)
		if (ticks[way] < ticks[best])
			best = (enum copy_way)way;
	return ticks[best] < ticks[COPY_SSE] - ticks[COPY_SSE] / 16 ? best : COPY_SSE;
}
