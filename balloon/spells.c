/*
 * A guest is busy while it uses more than half as many pages a tick as it does on the mean. Its
 * spells and gaps are measured; one that lasts longer than usual is expected to last as long again.
 * Where accessed bits are not known, only gets count as use.
 */
#include "balloon/spells.h"

/* How long a guest is expected to stay busy before it is known: so many ticks, and ms. */
#define SPELL_FIRST    64U
#define SPELL_FIRST_MS 6400U
#define SPELL_MAX      (1U << 16)
#define MEAN_TICKS     256U /* over which the mean of a guest's activity is taken */
#define RETURN_MIN     16U  /* ticks: no return is awaited sooner */
#define RETURN_PART    3U   /* nor sooner than in this part of a usual gap: gaps vary */

/*
 * Pages used in this tick that were not used before in this spell: what was in RAM by its age, and
 * what came in. A page that left in between is counted again.
 */
static u64 newly_used(const struct balloon_guest *guest, const struct balloon_sample *sample)
{
	u64 pages = 0;

	for (unsigned kind = 0; kind < BALLOON_CLASSES; kind++)
		pages += sample->tmem[kind].gets;
	for (unsigned age = 0; age < BALLOON_AGES; age++)
		if (1U << age > guest->spell)
			pages += sample->touched[age];
	return pages;
}

static void turn(struct balloon_guest *guest, bool busy)
{
	u32 spell = MIN(guest->spell, SPELL_MAX);

	if (busy && guest->known)
		guest->gap_usual = guest->gap_usual ? (guest->gap_usual + spell) / 2 : spell;
	if (!busy) {
		guest->spell_usual = (guest->spell_usual + spell) / 2;
		guest->used_last = guest->used;
	}
	guest->used = 0;
	guest->spell = 0;
	guest->busy = busy;
}

void spell_note(struct balloon_guest *guest, const struct balloon_sample *sample, u32 tick_ms)
{
	u64 activity = (guest->hits_rate + guest->misses_rate) / 256;
	bool busy;

	for (unsigned age = 0; age < BALLOON_AGES; age++)
		activity += sample->touched[age];
	guest->activity = (u32)((guest->activity + 3 * MIN(activity, 1U << 28)) / 4);
	if (!guest->known) {
		guest->spell_usual = MAX(SPELL_FIRST, SPELL_FIRST_MS / tick_ms);
		guest->activity_mean = guest->activity / 2 * 256UL;
	}
	guest->activity_mean += guest->activity;
	guest->activity_mean -= guest->activity_mean / MEAN_TICKS;
	busy = guest->activity > guest->activity_mean / MEAN_TICKS / 2;
	if (busy != guest->busy)
		turn(guest, busy);
	if (busy)
		guest->used += newly_used(guest, sample);
	guest->spell = MIN(guest->spell + 1, 1U << 20);
}

/* A page that moves costs a read when it moves back, so it must save more than one until then. */
u32 spell_price(const struct balloon_guest *guest)
{
	u32 ticks = guest->spell_usual;

	if (guest->busy)
		ticks = MAX(ticks, guest->spell);
	return 65536 / MAX(ticks, 1U);
}

u64 spell_pages(const struct balloon_guest *guest)
{
	return guest->used + guest->used_last;
}

u32 spell_return(const struct balloon_guest *guest)
{
	u32 gap = guest->gap_usual, ticks;

	if (gap == 0)
		return 0;
	if (guest->busy)
		ticks = gap + guest->spell_usual - MIN(guest->spell, guest->spell_usual);
	else if (guest->spell < gap)
		ticks = MAX(gap - guest->spell, gap / RETURN_PART);
	else
		ticks = guest->spell;
	return MAX(ticks, RETURN_MIN);
}
