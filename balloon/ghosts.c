/*
 * The sampled ghosts of one guest: a table of sets by hash, and the order of puts in segments, each
 * with the number of its ghosts that still wait. The distance of a page is the number of ghosts in
 * younger segments and half of its own. No allocation, no list to walk: an operation looks at one
 * set of the table and at 31 counters at most. balloon/ghosts.h says who locks.
 */
#include "balloon/ghosts.h"

#include <string.h>

/* The histogram is halved after so many sampled gets: it remembers what the guest did lately,
 * however long ago that was, so a guest that wakes up is judged by what it did before it slept. */
#define HALVE_GETS 128U
#define HALVE_PUTS 2048U
#define HALVE_LONG 4096U

#define RATE_MAX (0xffffffffU / GHOSTS_ONE_IN)

__init void ghosts_init(struct ghosts *ghosts, u64 max_pages, struct ghost *table, u32 entries)
{
	u32 capacity = entries / 2;
	u64 wanted;

	*ghosts = (struct ghosts){.table = table, .sets_mask = entries / GHOSTS_WAYS - 1};
	max_pages = MIN(MAX(max_pages, 1UL), 1UL << 40);
	ghosts->step = ROUND_UP(2 * max_pages, BALLOON_BUCKETS) / BALLOON_BUCKETS;
	ghosts->max_distance = 2 * max_pages;
	ghosts->threshold = RATE_MAX;
	wanted = ghosts->max_distance / GHOSTS_ONE_IN;
	if (wanted > capacity)
		ghosts->threshold = (u32)((u64)RATE_MAX * capacity / wanted);
	else
		capacity = (u32)wanted;
	/* Ghosts that were asked for again leave gaps, so the segments together cover more puts
	 * than there are ghosts. */
	ghosts->per_segment = MIN(MAX(capacity / 64, 1U), 0xffffU);
}

void ghosts_clear(struct ghosts *ghosts)
{
	memset(ghosts->table, 0,
		(ghosts->sets_mask + 1UL) * GHOSTS_WAYS * sizeof(ghosts->table[0]));
	*ghosts = (struct ghosts){
		.threshold = ghosts->threshold,
		.sets_mask = ghosts->sets_mask,
		.per_segment = ghosts->per_segment,
		.max_distance = ghosts->max_distance,
		.step = ghosts->step,
		.table = ghosts->table,
	};
}

/* Whichever bits the caller's decision looked at: here all of them matter. */
static u64 mix(u64 hash)
{
	hash *= 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

/*
 * What went on since the last event. RAM that the guest was given and did not fill yet does not
 * count: the pages that will fill it still have their ghosts. A guest that evicts has none left,
 * unless it did so before it was given more; what gets bring in and puts take out tells then.
 */
static void note_totals(struct ghosts *ghosts, const struct ghosts_event *event)
{
	u64 puts = event->puts - MIN(event->puts, ghosts->all_puts);
	u64 gets = event->gets - MIN(event->gets, ghosts->all_gets);

	ghosts->puts += puts;
	if (puts == 0 || (ghosts->ram_pages && event->ram_pages > ghosts->ram_pages))
		ghosts->ram_used += gets - MIN(gets, puts);
	else
		ghosts->ram_used = event->ram_pages;
	ghosts->ram_used = MIN(ghosts->ram_used, event->ram_pages);
	ghosts->ram_pages = event->ram_pages;
	ghosts->all_puts = event->puts;
	ghosts->all_gets = event->gets;
}

static u32 set_of(const struct ghosts *ghosts, u64 hash)
{
	return ((u32)(hash >> 16) & ghosts->sets_mask) * GHOSTS_WAYS;
}

/* Bits that the threshold and mostly the set do not use; never 0. */
static u32 tag_of(u64 hash)
{
	return (u32)hash | 1U;
}

static bool is_alive(const struct ghosts *ghosts, const struct ghost *ghost)
{
	return ghost->tag != 0 && ghosts->segment - ghost->segment < GHOSTS_SEGMENTS;
}

static void drop(struct ghosts *ghosts, struct ghost *ghost)
{
	if (is_alive(ghosts, ghost)) {
		u32 slot = ghost->segment % GHOSTS_SEGMENTS;

		/* Never below zero, even when the running number has come round and an entry that
		 * was forgotten long ago seems to be alive. */
		if (ghosts->live[slot]) {
			ghosts->live[slot]--;
			ghosts->group[slot / GHOSTS_GROUP]--;
		}
	}
	ghost->tag = 0;
}

static struct ghost *find(struct ghosts *ghosts, u64 hash)
{
	struct ghost *set = &ghosts->table[set_of(ghosts, hash)];

	for (u32 way = 0; way < GHOSTS_WAYS; way++)
		if (set[way].tag == tag_of(hash) && is_alive(ghosts, &set[way]))
			return &set[way];
	return NULL;
}

/* Opens the next segment; the ghosts of the one whose counters it takes over are forgotten. */
static void next_segment(struct ghosts *ghosts)
{
	u32 slot;

	ghosts->segment++;
	ghosts->filled = 0;
	slot = ghosts->segment % GHOSTS_SEGMENTS;
	ghosts->group[slot / GHOSTS_GROUP] -= ghosts->live[slot];
	ghosts->live[slot] = 0;
}

void ghosts_put(struct ghosts *ghosts, const struct ghosts_event *event)
{
	u64 hash = mix(event->hash);
	struct ghost *set = &ghosts->table[set_of(ghosts, hash)], *to = find(ghosts, hash);
	u32 slot;

	note_totals(ghosts, event);
	ghosts->sampled++;
	if (++ghosts->puts_sampled == HALVE_PUTS) {
		ghosts->puts_sampled /= 2;
		ghosts->puts /= 2;
	}
	if (ghosts->filled == ghosts->per_segment)
		next_segment(ghosts);
	ghosts->filled++;
	for (u32 way = 0; !to && way < GHOSTS_WAYS; way++)
		if (!is_alive(ghosts, &set[way]))
			to = &set[way];
	if (!to) {
		to = set;
		for (u32 way = 1; way < GHOSTS_WAYS; way++)
			if (ghosts->segment - set[way].segment > ghosts->segment - to->segment)
				to = &set[way];
	}
	drop(ghosts, to);
	*to = (struct ghost){.tag = tag_of(hash), .segment = ghosts->segment};
	slot = ghosts->segment % GHOSTS_SEGMENTS;
	ghosts->live[slot]++;
	ghosts->group[slot / GHOSTS_GROUP]++;
}

/* Ghosts younger than @ghost, half of its own segment counted. */
static u32 younger(const struct ghosts *ghosts, const struct ghost *ghost)
{
	u32 count = (u32)ghosts->live[ghost->segment % GHOSTS_SEGMENTS] / 2;
	u32 segment = ghost->segment + 1;

	while (ghosts->segment - segment < GHOSTS_SEGMENTS) {
		u32 slot = segment % GHOSTS_SEGMENTS;

		if (slot % GHOSTS_GROUP == 0 && ghosts->segment - segment >= GHOSTS_GROUP) {
			count += ghosts->group[slot / GHOSTS_GROUP];
			segment += GHOSTS_GROUP;
		} else {
			count += ghosts->live[slot];
			segment++;
		}
	}
	return count;
}

/* Pages that @count ghosts stand for: by the rate that was measured, since among few pages the
 * share that is sampled differs from the threshold's; within half and double of it. */
static u64 scale(const struct ghosts *ghosts, u32 count)
{
	u64 nominal = 0xffffffffU / MAX(ghosts->threshold, 1U);
	u64 rate_256 = nominal * 256;

	if (ghosts->puts_sampled >= 32)
		rate_256 = ghosts->puts * 256 / ghosts->puts_sampled;
	rate_256 = MIN(MAX(rate_256, nominal * 128), nominal * 512);
	return count * rate_256 / 256;
}

static void halve_histogram(struct ghosts *ghosts)
{
	for (u32 bucket = 0; bucket < BALLOON_BUCKETS; bucket++)
		ghosts->found[bucket] /= 2;
	ghosts->not_found /= 2;
	ghosts->since_halving = 0;
}

void ghosts_get(struct ghosts *ghosts, const struct ghosts_event *event)
{
	struct ghost *ghost = find(ghosts, mix(event->hash));
	u64 bucket;

	note_totals(ghosts, event);
	ghosts->sampled++;
	if (++ghosts->since_halving > HALVE_GETS)
		halve_histogram(ghosts);
	if (ghosts->again + ghosts->first >= HALVE_LONG) {
		ghosts->again /= 2;
		ghosts->first /= 2;
	}
	if (!ghost) {
		ghosts->first++;
		ghosts->not_found += GHOSTS_ONE;
		return;
	}
	ghosts->again++;
	bucket = (ghosts->ram_used + scale(ghosts, younger(ghosts, ghost))) / ghosts->step;
	drop(ghosts, ghost);
	if (bucket < BALLOON_BUCKETS)
		ghosts->found[bucket] += GHOSTS_ONE;
	else
		ghosts->not_found += GHOSTS_ONE;
}

void ghosts_flush(struct ghosts *ghosts, u64 hash)
{
	struct ghost *ghost = find(ghosts, mix(hash));

	ghosts->sampled++;
	if (ghost)
		drop(ghosts, ghost);
}
