/*
 * Which hits are believed (balloon/trust.h). A guest is doubted once it brought in more than its
 * RAM twice over, and yet a part of its RAM was not used in that time: nobody evicts the pages that
 * it needs rather than those. So is one that hits and reads nothing, with much in the pool, while
 * half of its RAM lies idle: that could hold what it hits. While a guest is doubted its hits count
 * as nothing, so others take of what it holds; and if it then reads from disk about what it would
 * have to miss, it is trusted again, each time for longer.
 */
#include "balloon/trust.h"

#define YOUNG_PART 128U /* of RAM, what may look idle for lack of precision */
#define FRACTION   16U  /* in which pages brought in are counted */
#define TIMES_RAM  2U
#define STALE_PART 8U /* of RAM, what an honest guest may leave unused in that time */
#define IDLE_AGE   4U /* the class of RAM that was not used for 16 ticks */
#define IDLE_PART  2U /* of RAM, if so much is idle it could hold what is hit in the pool */
#define POOL_PART  4U /* of what a guest holds; who has less in the pool is not asked */
/* Of the uses of a page in the pool, what those of a page in idle RAM must be to count. */
#define AGAIN_PART 2U
#define HITS_MORE  4U  /* than reads: only of such guests something could be taken unnoticed */
#define DOUBT      32U /* ticks that a guest is doubted after it was last seen to waste RAM */

#define EVIDENCE   64U /* reads: so many must be expected or come, or they mean nothing */
#define FOUND_PART 2U  /* of the reads that were expected, what must have come */
#define TRUST_MIN  32U /* ticks */
#define TRUST_MAX  1024U

/* A hit brings its page into RAM, where it is young: used in this tick or the last. */
static void cut_hits(struct balloon_sample *sample)
{
	u64 young = sample->actual;

	for (unsigned age = 1; age < BALLOON_AGES; age++)
		young -= sample->idle[age];
	for (unsigned kind = 0; kind < BALLOON_CLASSES; kind++)
		sample->tmem[kind].hits = MIN(
			sample->tmem[kind].hits, young + sample->actual / YOUNG_PART);
}

static u64 hits_of(const struct balloon_sample *sample)
{
	u64 hits = 0;

	for (unsigned kind = 0; kind < BALLOON_CLASSES; kind++)
		hits += sample->tmem[kind].hits;
	return hits;
}

/* Takes in @hits; says whether the guest brings in pages without making room for them in RAM. */
static bool wastes(struct balloon_guest *guest, const struct balloon_sample *sample, u64 hits)
{
	u64 stale = 0;
	bool found = false;

	for (unsigned age = BALLOON_AGES - 1; age > 0; age--) {
		u64 *brought = &guest->brought[age];

		*brought += hits * FRACTION;
		*brought -= *brought >> age;
		stale += sample->idle[age];
		found |= *brought > TIMES_RAM * FRACTION * sample->actual &&
			 stale > sample->actual / STALE_PART;
	}
	return found;
}

/*
 * Whether its RAM could hold what it hits in the pool, and it needs nothing beyond. Pages that are
 * idle for long are used nevertheless, if a guest goes slowly through all that it has: in RAM then
 * at least half as often, each, as in the pool.
 */
static bool has_idle_ram(
	const struct balloon_guest *guest, const struct balloon_sample *sample, u64 hits)
{
	u64 idle = 0, again = 0;

	for (unsigned age = IDLE_AGE; age < BALLOON_AGES; age++) {
		idle += sample->idle[age];
		again += sample->idle[age] * guest->use[age];
	}
	if (again / MAX(idle, 1UL) * AGAIN_PART * sample->pool > hits * BALLOON_USE_ONE)
		return false;
	return idle > sample->actual / IDLE_PART &&
	       sample->pool > (sample->actual + sample->pool) / POOL_PART &&
	       hits > HITS_MORE * sample->refaults && hits * 256 > HITS_MORE * guest->reads_before;
}

/* As long as it is not doubted: what its reads are compared with later. */
static void note_before(struct balloon_guest *guest, const struct balloon_sample *sample)
{
	guest->reads_before = (guest->reads_before * 7 + sample->refaults * 256) / 8;
	guest->hold_before = sample->actual + sample->pool;
	guest->reads_expected = 0;
	guest->reads_found = 0;
}

/*
 * One tick of a doubted guest that hits @hits of the pages it has left. For those that it lost it
 * would have to read as many as it hits of the others, and a few times as many as it hits at most.
 */
static void weigh_reads(struct balloon_guest *guest, const struct balloon_sample *sample, u64 hits)
{
	const s64 enough = EVIDENCE * 256;
	u64 now = sample->actual + sample->pool;
	u64 lost = guest->hold_before - MIN(guest->hold_before, now);

	guest->reads_expected += (s64)MIN(hits * lost / MAX(sample->pool, 1UL), hits * 4) * 256;
	guest->reads_found += (s64)(sample->refaults * 256) - (s64)guest->reads_before;
	/* It may read less than before for other reasons; that is soon forgotten. */
	guest->reads_found = MAX(guest->reads_found, -enough);
	if (guest->reads_expected < enough && guest->reads_found < enough)
		return;
	if (guest->reads_found * FOUND_PART >= guest->reads_expected) {
		guest->trust = (u16)MIN(MAX(guest->trust * 2U, TRUST_MIN), TRUST_MAX);
		guest->trusted = guest->trust;
		guest->doubt = 0;
	} else {
		guest->trust = 0;
		guest->reads_expected /= 2;
		guest->reads_found /= 2;
	}
}

void trust_note(struct balloon_guest *guest, struct balloon_sample *sample)
{
	u64 hits = hits_of(sample);
	bool wasteful;

	if (!sample->idle_known)
		return;
	wasteful = wastes(guest, sample, hits);
	wasteful |= has_idle_ram(guest, sample, hits);
	cut_hits(sample);
	if (guest->doubt == 0) {
		note_before(guest, sample);
		if (guest->trusted)
			guest->trusted--;
		else if (wasteful)
			guest->doubt = DOUBT;
	} else {
		guest->doubt = wasteful ? DOUBT : (u16)(guest->doubt - 1);
		weigh_reads(guest, sample, hits_of(sample));
	}
	for (unsigned kind = 0; guest->doubt && kind < BALLOON_CLASSES; kind++)
		sample->tmem[kind].hits = 0;
}
