/*
 * Guests with balloons as the policies' glue (kernel/policy.c) sees them: of any sizes, with
 * drivers that are there and give what they are asked for when a test says so.
 */
#ifndef FAKE_POLICY_GUESTS_H
#define FAKE_POLICY_GUESTS_H

#include "fake/vm.h"
#include "kernel/virtio/balloon_state.h"

#define GUESTS 4u

extern struct balloon_config balloon;
extern struct guest_config configs[GUESTS];
extern struct vm *vms[GUESTS];

/* For cmocka: a machine of 128 MiB under BALLOON_POLICY_STATIC, and its end, with an audit. */
int setup(void **state);
int teardown(void **state);

/* The policy, with @memory MiB for guests and pool together; 0: all there is. */
void start(u8 policy, u64 memory);
/* Guest @slot of @min to @max MiB as kernel/guests.c starts it, with a driver that says it is there
 * and does nothing. */
void add(unsigned slot, u64 min, u64 start, u64 max);
/* Its target in MiB, rounded down. */
u64 target(unsigned slot);
/* It was promised what it waits for now. */
void lacks_a_frame(unsigned slot);
/* Its driver gives what it was asked for, from the end of RAM down. */
void obey(unsigned slot);
/* Ticks, after each of which the first three guests obey. */
void tick_and_obey(unsigned count);

#endif
