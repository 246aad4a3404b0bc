/*
 * The policy `refault`: how much each guest holds, RAM and pool share together. The steepest
 * stretches of all curves first, as on a concave hull; what a guest holds already counts more.
 */
#ifndef BALLOON_HOLDINGS_H
#define BALLOON_HOLDINGS_H

#include "balloon/balloon.h"

/*
 * Plans the holdings of @count guests, whose curves, terms and ->least are of this tick and whose
 * ->size is ->least: pages, into ->size. @room: pages beyond all ->least; @later: pages of RAM that
 * can be taken in later ticks. Returns the pages of @room that nobody needs. No locks:
 * balloon_tick()'s caller.
 */
u64 holdings_plan(struct balloon *engine, unsigned count, u64 room, u64 later);

#endif
