/*
 * Marginal-utility curves: how many disk reads a tick a guest avoids with so much memory, RAM and
 * pool share together, out of its refault distances. Kept in struct balloon_guest.
 */
#ifndef BALLOON_CURVE_H
#define BALLOON_CURVE_H

#include "balloon/balloon.h"

/* Takes in one tick: smooths the rates and makes the curve anew. @hold: pages that the guest holds.
 */
void curve_update(struct balloon_guest *guest, const struct balloon_sample *sample, u64 hold);
/* Reads a tick avoided with @pages, 256ths. */
u64 curve_at(const struct balloon_guest *guest, u64 pages);
/* What @pages are worth on @terms: those reads, as far as what is held avoids them counted more. */
u64 curve_worth(const struct balloon_guest *guest, u64 pages, const struct balloon_terms *terms);
/*
 * The steepest stretch that begins at @from and is no longer than @room. It is what a concave hull
 * would begin with, so a curve with a cliff (a loop that fits or does not) is wanted as a whole or
 * not at all.
 */
struct balloon_segment curve_steepest(
	const struct balloon_guest *guest, u64 from, u64 room, const struct balloon_terms *terms);
/* Whether @a gains more a page than @b; nothing gains no more than anything. */
bool segment_steeper(const struct balloon_segment *a, const struct balloon_segment *b);

#endif
