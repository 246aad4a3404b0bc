/*
 * See balloon_three.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "balloon_three.h"

struct balloon balloon;
struct balloon_plan plan;
struct balloon_sample samples[3];
struct ghosts ghosts[3];
static struct ghost tables[3][64];

void start(const char *policy)
{
	struct balloon_parameters parameters;

	balloon_defaults(&parameters, 30000, 1000);
	balloon_init(&balloon, &parameters);
	assert_int_equal(balloon_policy_set(&balloon, policy), 0);
	for (unsigned i = 0; i < 3; i++) {
		memset(tables[i], 0, sizeof(tables[i]));
		ghosts_init(&ghosts[i], 20000, tables[i], 64);
		samples[i] = (struct balloon_sample){
			.actual = 8000,
			.min = 1000,
			.max = 20000,
			.responsive = true,
			.idle_known = true,
			.idle[7] = 8000,
			.ghosts = &ghosts[i],
			.available = BALLOON_UNKNOWN,
			.free = BALLOON_UNKNOWN,
			.caches = BALLOON_UNKNOWN,
			.major_faults = BALLOON_UNKNOWN,
			.swap_in = BALLOON_UNKNOWN,
			.swap_out = BALLOON_UNKNOWN,
		};
	}
}

void hungry(unsigned i, u64 reads)
{
	ghosts[i].found[12000 / ghosts[i].step] = 64 * 256;
	samples[i].tmem[0].gets = reads;
	samples[i].tmem[0].puts = reads;
	samples[i].disk_reads = samples[i].refaults = reads;
	samples[i].idle[7] = 0;
	samples[i].touched[0] = samples[i].actual;
}

void ticks(unsigned count)
{
	while (count-- > 0) {
		balloon_tick(&balloon, samples, 3, &plan);
		for (unsigned i = 0; i < 3; i++)
			if (samples[i].responsive) {
				samples[i].actual = plan.target[i].ram;
				if (samples[i].idle[7])
					samples[i].idle[7] = samples[i].actual;
			}
	}
}

u64 holds(unsigned i)
{
	return plan.target[i].ram + plan.target[i].share;
}
