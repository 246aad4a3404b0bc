/*
 * Busy spells of guests and the gaps between them: how long a need will last, how many pages a
 * spell takes, and how soon an idle guest will want again what it holds. Kept in struct
 * balloon_guest; balloon_tick()'s caller has the lock.
 */
#ifndef BALLOON_SPELLS_H
#define BALLOON_SPELLS_H

#include "balloon/balloon.h"

/* Takes in one tick of @tick_ms, after curve_update(). */
void spell_note(struct balloon_guest *guest, const struct balloon_sample *sample, u32 tick_ms);
/* What a page that moves to the guest must save at least: as a rate, 65536ths of a read a tick. */
u32 spell_price(const struct balloon_guest *guest);
/* Pages that the guest used in its last whole spell and in the present one: at most, since what it
 * used in both is counted twice, and so is what left in between. */
u64 spell_pages(const struct balloon_guest *guest);
/* Ticks until the guest wants again what it used in its last spell; 0 if it never came back yet. */
u32 spell_return(const struct balloon_guest *guest);

#endif
