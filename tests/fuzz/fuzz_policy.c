/*
 * Fuzzes plans with arbitrary samples: the input is a policy, a number of guests, memory, and then
 * the samples of tick after tick, byte for byte. Every plan is held to the rules
 * (tests/unit/balloon_check.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balloon/ghosts.h"
#include "tests/unit/balloon_check.h"

#define ENTRIES 64U

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size);

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
	static struct balloon balloon;
	static struct balloon_plan plan;
	static struct balloon_sample samples[BALLOON_GUESTS_MAX];
	static struct ghost table[ENTRIES];
	static struct ghosts ghosts;
	struct ghosts_event event;
	struct balloon_target before[BALLOON_GUESTS_MAX];
	bool known[BALLOON_GUESTS_MAX] = {false};
	struct balloon_parameters parameters;
	u64 words[2] = {0};
	unsigned count;

	if (size < 2 + sizeof(words))
		return 0;
	count = bytes[1] % (BALLOON_GUESTS_MAX + 1);
	memcpy(words, bytes + 2, sizeof(words));
	balloon_defaults(&parameters, words[0], (u32)words[1]);
	balloon_init(&balloon, &parameters);
	if (balloon_policy_set(&balloon, balloon_policy_name(bytes[0] % 4)) != 0)
		abort();
	memset(table, 0, sizeof(table));
	memset(before, 0, sizeof(before));
	ghosts_init(&ghosts, words[1], table, ENTRIES);
	for (size_t at = 2 + sizeof(words); at < size;) {
		const char *wrong;

		for (unsigned i = 0; i < count; i++) {
			size_t length = MIN(sizeof(samples[i]), size - at);

			memset(&samples[i], 0, sizeof(samples[i]));
			memcpy(&samples[i], bytes + at, length);
			/* A bool of the hypervisor's own is 0 or 1, and its pointer is good. */
			samples[i].idle_known = length > 3 && bytes[at + 1] & 1;
			samples[i].responsive = length > 3 && bytes[at + 2] & 3;
			samples[i].ghosts = i % 2 ? &ghosts : NULL;
			at += length;
		}
		event = (struct ghosts_event){samples[0].free, samples[0].swap_in,
			samples[0].swap_out, samples[0].actual};
		ghosts_put(&ghosts, &event);
		event.hash = samples[0].available;
		ghosts_get(&ghosts, &event);
		balloon_tick(&balloon, samples, count, &plan);
		wrong = balloon_check(&balloon, samples, count, &plan, before, known);
		if (wrong) {
			fprintf(stderr, "balloon: %s\n", wrong);
			abort();
		}
		for (unsigned i = 0; i < plan.count; i++) {
			before[i] = plan.target[i];
			known[i] = true;
		}
		if (count == 0)
			break;
	}
	return 0;
}
