/*
 * What a policy is: one file that fills in a struct balloon_policy. It wishes; balloon/plan.c makes
 * every wish safe (bounds, steps, sums) whatever a policy or a guest says. Policies keep what they
 * remember in struct balloon_guest.
 */
#ifndef BALLOON_POLICY_H
#define BALLOON_POLICY_H

#include "balloon/balloon.h"

struct balloon_policy {
	const char *name;
	/* Fills in @wishes for @count guests; engine->sample is checked, engine->guest holds the
	 * last targets. Guests that do not answer are wished for as the rest and corrected later.
	 */
	void (*plan)(struct balloon *engine, unsigned count, struct balloon_wish *wishes);
};

extern const struct balloon_policy balloon_static, balloon_selfballoon, balloon_shares,
	balloon_refault;

/* The pool, as the sizes of guests leave it: memory that is no guest's RAM. */
u64 balloon_pool_now(const struct balloon *engine, unsigned count);
/* @part of @whole of @amount, without overflow for amounts and parts below 2^32; 0 of nothing. */
u64 balloon_part(u64 amount, u64 part, u64 whole);
/* Gives every guest a share of the pool that is left by the RAM wished for, by priority. */
void balloon_share_evenly(
	const struct balloon *engine, unsigned count, struct balloon_wish *wishes);

/* Fills in the moves that lead from the last targets to those of @plan. */
void balloon_moves(
	const struct balloon *engine, const struct balloon_wish *wishes, struct balloon_plan *plan);

#endif
