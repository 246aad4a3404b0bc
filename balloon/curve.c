/*
 * Curves out of the histograms of sampled refaults. The histogram says at which sizes the guest's
 * gets would have been hits, the exact counts of tmem say how many there are a tick; so what is
 * sampled is only the shape, and an idle guest's curve is flat at once. No locks: balloon_tick()'s
 * caller.
 */
#include "balloon/curve.h"

#include "balloon/ghosts.h"
#include "balloon/spells.h"

#define HOPE        24U
#define GETS_LATELY 16384U /* about as many as the histogram remembers */

/* First reads of files in this tick, as far as they are known to be no more: what comes from swap
 * was written there. */
static u64 first_reads(const struct balloon_sample *sample)
{
	u64 misses = sample->tmem[BALLOON_EPHEMERAL].gets - sample->tmem[BALLOON_EPHEMERAL].hits;

	if (sample->disk_reads == BALLOON_UNKNOWN)
		return 0;
	misses = MIN(misses, sample->disk_reads);
	return misses - MIN(misses, sample->refaults);
}

/*
 * Gets that mean something, hits and misses of a tick: a miss is believed only if the guest's disks
 * read a page for it, so a guest cannot become hungry by asking for what it does not need.
 */
static void note_rates(struct balloon_guest *guest, const struct balloon_sample *sample)
{
	u64 hits = 0, misses = 0, first = first_reads(sample);

	for (unsigned kind = 0; kind < BALLOON_CLASSES; kind++) {
		hits += sample->tmem[kind].hits;
		misses += sample->tmem[kind].gets - sample->tmem[kind].hits;
	}
	guest->gets_lately += hits + misses;
	misses = MIN(misses, sample->disk_reads);
	guest->backed_lately += hits + misses;
	guest->first_lately += first;
	while (guest->gets_lately > GETS_LATELY) {
		guest->gets_lately /= 2;
		guest->backed_lately /= 2;
		guest->first_lately /= 2;
	}
	guest->hits_rate = (guest->hits_rate + 3 * hits * 256) / 4;
	guest->misses_rate = (guest->misses_rate + 3 * misses * 256) / 4;
	guest->first_rate = (guest->first_rate + 3 * first * 256) / 4;
}

/* What was estimated to lie on the other side of what a guest holds lies within so many steps
 * beside it, nobody knows where: in a single one it would be a steep stretch that is not there. */
#define BESIDE_STEPS 3U

/* Misses of which no distance is known are taken for so many steps beyond what the guest holds. */
#define UNKNOWN_STEPS 8U

/*
 * The weights of buckets, sampled gets in 256ths, into @weights; the sum of those that the present
 * gets can be of is returned, first reads aside. In it are those whose distance is beyond what is
 * remembered, into @far: gets that no ghost explains, but for the part that first reads had of all
 * gets lately. These are counted, so the histogram need not tell what of it they were: it may be
 * older than the tick in which a guest had read all its files once.
 */
static u64 weigh(const struct balloon_guest *guest, const struct ghosts *ghosts, u64 first,
	u64 *weights, u64 *far)
{
	u64 none = READ_ONCE(ghosts->not_found), all = none, sum = 0;

	for (u64 bucket = 0; bucket < BALLOON_BUCKETS; bucket++) {
		weights[bucket] = MIN(READ_ONCE(ghosts->found[bucket]), 1U << 18);
		all += weights[bucket];
		if (bucket >= first)
			sum += weights[bucket];
	}
	*far = none - MIN(none, all * guest->first_lately / (guest->gets_lately + 1));
	return sum + *far;
}

/*
 * First reads, @rate a tick in 256ths: how far away their next use will be is not known, nor
 * whether there will be one. They count as far as the guest's others were read again, evenly
 * between @first and @last, its RAM and its maximum. Where accessed bits show that RAM is used
 * again up to its edge, that goes on beyond it for a while: a bucket takes as much as the edge
 * would, and at most HOPE of what is left.
 */
static void hope(const struct balloon_guest *guest, const struct ghosts *ghosts, u64 rate,
	u64 first, u64 last, u64 *gain)
{
	u64 again = READ_ONCE(ghosts->again), all = again + READ_ONCE(ghosts->first);
	u64 even = rate * (again + 16) / (all + 64) / (last - first);
	u64 edge = guest->step * guest->edge >> 12; /* 2^-20ths to 256ths */

	for (u64 bucket = first; bucket < last; bucket++) {
		u64 part = MIN(MAX(even, MIN(edge, rate / HOPE)), rate);

		gain[bucket] += part;
		rate -= part;
	}
}

/*
 * Within how many pages the guest's accesses lately stayed: the distances of all but a 16th of its
 * refaults. The histogram may be older than the last spells, in which case these tell.
 */
static u64 footprint(const struct balloon_guest *guest, const struct ghosts *ghosts)
{
	u64 all = 0, sum = 0, bucket = 0;

	for (u64 i = 0; i < BALLOON_BUCKETS; i++)
		all += READ_ONCE(ghosts->found[i]);
	while (bucket < BALLOON_BUCKETS && sum < all - all / 16)
		sum += READ_ONCE(ghosts->found[bucket++]);
	return MIN(bucket * guest->step, spell_pages(guest));
}

/*
 * What a guest holds and will want when it comes back from its gap: it saves one read a page then,
 * which as a rate is one in so many ticks as it stays away. Of guests that wait, the one that was
 * busy last gives first, as Belady's rule has it (IBM Systems Journal 5(2), 1966).
 */
static void await(const struct balloon_guest *guest, const struct balloon_sample *sample, u64 first,
	u64 *gain)
{
	u64 kept = MIN(guest->footprint, sample->actual + sample->pool),
	    ticks = spell_return(guest);

	for (u64 bucket = first; ticks && bucket < BALLOON_BUCKETS && bucket * guest->step < kept;
		bucket++)
		gain[bucket] = MAX(gain[bucket], guest->step * 256 / ticks);
}

/* Adds @part to @gain, evenly between @from and @to. */
static void spread(u64 part, u64 *gain, u64 from, u64 to)
{
	for (u64 bucket = from; bucket < to; bucket++)
		gain[bucket] += part / (to - from);
}

void curve_update(struct balloon_guest *guest, const struct balloon_sample *sample, u64 hold)
{
	const struct ghosts *ghosts = sample->ghosts;
	u64 first, last, split, sum = 0, within = 0, beyond = 0, factor, gets, rate, believed,
				far = 0;
	u64 gain[BALLOON_BUCKETS] = {0}; /* weights at first */
	bool full;

	note_rates(guest, sample);
	guest->step = MAX(ROUND_UP(2 * sample->max, BALLOON_BUCKETS) / BALLOON_BUCKETS, 1UL);
	if (ghosts)
		guest->step = MIN(MAX(ghosts->step, 1UL), 1UL << 32);
	/* What lies below the present RAM are old samples, from when it was smaller: they tell the
	 * shape there, but the present gets are none of them. */
	first = MIN(sample->actual / guest->step, BALLOON_BUCKETS - 1);
	last = MIN(first + 1 + sample->max / guest->step, BALLOON_BUCKETS);
	gets = ghosts ? weigh(guest, ghosts, first, gain, &far) : 0;
	/* Of distances, only so many are believed as gets were backed by a page: a guest that
	 * asks for what is not there, and does not read it either, has them as it likes. */
	rate = guest->hits_rate + guest->misses_rate - guest->first_rate;
	believed = rate * (guest->backed_lately + 1) / (guest->gets_lately + 1);
	factor = gets ? (believed << 12) / gets : 0;
	full = sample->actual + sample->pool >= hold - hold / 32;
	split = MIN(MAX(hold / guest->step, first + 1), BALLOON_BUCKETS - 1);
	for (u64 bucket = 0; bucket < BALLOON_BUCKETS; bucket++)
		gain[bucket] = factor * gain[bucket] >> 12;
	if (ghosts)
		hope(guest, ghosts,
			(factor * far >> 12) + guest->first_rate + (gets ? rate - believed : 0),
			first, last, gain);
	for (u64 bucket = first; bucket < BALLOON_BUCKETS; bucket++)
		*(bucket < split ? &within : &beyond) += gain[bucket];
	/* Pages asked for again without any distance yet, or written to swap: somewhere beyond. */
	if (full && gets == 0)
		spread(guest->misses_rate - guest->first_rate, gain, split,
			MIN(split + UNKNOWN_STEPS, BALLOON_BUCKETS));
	/* The distances are estimates, hits and misses are not. More memory than it holds saves a
	 * guest no more than all its misses; and if what it holds is full, what it holds saves no
	 * more than its hits. What exceeds that lies just on the other side of the boundary. */
	if (beyond > guest->misses_rate) {
		for (u64 bucket = split; bucket < BALLOON_BUCKETS; bucket++)
			gain[bucket] = gain[bucket] * guest->misses_rate / beyond;
		spread(beyond - guest->misses_rate, gain, split - MIN(BESIDE_STEPS, split - first),
			split);
	} else if (full && within > guest->hits_rate) {
		for (u64 bucket = first; bucket < split; bucket++)
			gain[bucket] = gain[bucket] * guest->hits_rate / within;
		spread(MIN(within - guest->hits_rate, guest->misses_rate - beyond), gain, split,
			MIN(split + BESIDE_STEPS, BALLOON_BUCKETS));
	}
	guest->footprint = ghosts ? footprint(guest, ghosts) : spell_pages(guest);
	if (sample->idle_known)
		await(guest, sample, first, gain);
	for (u64 bucket = 0; bucket < BALLOON_BUCKETS; bucket++) {
		sum += gain[bucket] * sample->priority / BALLOON_PRIORITY;
		sum = MIN(sum, 0xffffffffUL);
		guest->curve[bucket + 1] = (u32)sum;
	}
	guest->curve[0] = 0;
}

u64 curve_at(const struct balloon_guest *guest, u64 pages)
{
	u64 step = MAX(guest->step, 1UL), bucket = pages / step;

	if (bucket >= BALLOON_BUCKETS)
		return guest->curve[BALLOON_BUCKETS];
	return guest->curve[bucket] +
	       (guest->curve[bucket + 1] - guest->curve[bucket]) * (pages % step) / step;
}

/* What @gain is worth: @terms->bonus more as far as it is that of pages held, which is @held. */
static u64 worth(u64 gain, u64 held, const struct balloon_terms *terms)
{
	return gain + MIN(gain, held) * terms->bonus / 1000;
}

u64 curve_worth(const struct balloon_guest *guest, u64 pages, const struct balloon_terms *terms)
{
	return worth(curve_at(guest, pages), curve_at(guest, terms->hold), terms);
}

bool segment_steeper(const struct balloon_segment *a, const struct balloon_segment *b)
{
	if (a->pages == 0 || a->gain == 0)
		return false;
	return b->pages == 0 || a->gain * b->pages > b->gain * a->pages;
}

struct balloon_segment curve_steepest(
	const struct balloon_guest *guest, u64 from, u64 room, const struct balloon_terms *terms)
{
	u64 held = curve_at(guest, terms->hold), start = worth(curve_at(guest, from), held, terms);
	u64 step = MAX(guest->step, 1UL), ends[2] = {terms->hold, from + room};
	u64 last = MIN((from + room) / step, (u64)BALLOON_BUCKETS);
	struct balloon_segment best = {0};

	/* It never falls: of a guest that has all it wants, nothing is to be looked at. */
	if (worth(guest->curve[BALLOON_BUCKETS], held, terms) <= start)
		return best;
	/* All points of the curve, then two ends between points: what is held, and what there is
	 * room for. */
	for (u64 bucket = from / step + 1; bucket <= last + ARRAY_SIZE(ends); bucket++) {
		u64 to = bucket <= last ? bucket * step : ends[bucket - last - 1];
		u64 gain = bucket <= last ? guest->curve[bucket] : curve_at(guest, to);
		struct balloon_segment one = {.pages = to - from};

		gain = worth(gain, held, terms);
		if (to <= from || to - from > room || gain <= start)
			continue;
		one.gain = gain - start;
		if (to > terms->hold && one.gain * 256 < one.pages * terms->price)
			continue;
		if (segment_steeper(&one, &best))
			best = one;
	}
	return best;
}
