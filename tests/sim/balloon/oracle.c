/*
 * How the oracle works. For each guest, exact LRU stack distances (Mattson et al., 1970) give the
 * reads of each tick at each size, and for each tick how many pages lie in each MiB of the stack
 * that will be wanted again soon: these a guest that grows into that MiB has to read. With both,
 * two guests' memory is divided by an exact dynamic programme over the grid and the ticks. More
 * guests are taken pair by pair, each time dividing anew what the two have together at each tick,
 * round after round, from several starts, until nothing improves. The result is replayed page by
 * page (replay.h), and what the replay reads is what counts; so it can be reached, and is at most a
 * little above the true optimum.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/balloon/oracle.h"
#include "tests/sim/balloon/replay.h"

#define SOON_TICKS 60U /* a page not wanted again for longer is not charged to a growing guest */
#define FAR        0xffffffffU
#define ROUNDS     60U

struct profile {
	u32 grid;   /* MiB: sizes 0..grid */
	u32 *reads; /* [tick * (grid + 1) + size] */
	u32 *fill; /* pages to be read when growing from 0 to size at the tick: likewise, cumulative
		    */
};

/* ---- Stack distances ---- */

static void count_add(u32 *tree, u32 size, u32 at, s32 by)
{
	for (at++; at <= size; at += at & -at)
		tree[at - 1] += (u32)by;
}

static u32 count_below(const u32 *tree, u32 end)
{
	u32 sum = 0;

	for (; end; end -= end & -end)
		sum += tree[end - 1];
	return sum;
}

/* @distance: of each access, pages touched since the page's last access, itself included; FAR the
 * first time. @next: index of the same page's next access, or FAR. */
static void distances(const struct sim_guest *guest, u32 accesses, u32 *distance, u32 *next)
{
	u32 *tree = sim_alloc(accesses, sizeof(u32)), *last = sim_alloc(guest->pages, sizeof(u32));

	memset(last, 0xff, guest->pages * sizeof(u32));
	for (u32 i = 0; i < accesses; i++) {
		u32 page = guest->access[i], before = last[page];

		next[i] = FAR;
		distance[i] = FAR;
		if (before != FAR) {
			distance[i] = count_below(tree, i) - count_below(tree, before);
			next[before] = i;
			count_add(tree, accesses, before, -1);
		}
		count_add(tree, accesses, i, 1);
		last[page] = i;
	}
	free(tree);
	free(last);
}

/* The stack at the start of a tick, walked from the newest page down: who will be wanted soon? */
static void fill_profile(const struct sim_workload *workload, const struct sim_guest *guest,
	struct profile *profile, const u32 *next)
{
	u32 *newer = sim_alloc(guest->pages + 1, sizeof(u32)),
	    *older = sim_alloc(guest->pages + 1, sizeof(u32));
	u32 *last = sim_alloc(guest->pages, sizeof(u32)), width = profile->grid + 1,
	    head = guest->pages;

	for (u32 page = 0; page <= guest->pages; page++)
		newer[page] = older[page] = page == head ? head : FAR;
	for (u32 tick = 0, i = 0; tick < workload->ticks; tick++) {
		u32 *fill = &profile->fill[tick * width], depth = 0;
		u32 soon = guest->end[MIN(tick + SOON_TICKS, workload->ticks - 1)];

		for (u32 page = older[head]; page != head && depth < profile->grid * SIM_MIB;
			page = older[page])
			fill[depth++ / SIM_MIB + 1] += next[last[page]] < soon;
		for (u32 size = 1; size <= profile->grid; size++)
			fill[size] += fill[size - 1];
		for (; i < guest->end[tick]; i++) {
			u32 page = guest->access[i];

			if (newer[page] != FAR) {
				newer[older[page]] = newer[page];
				older[newer[page]] = older[page];
			}
			older[page] = older[head];
			newer[page] = head;
			newer[older[head]] = page;
			older[head] = page;
			last[page] = i;
		}
	}
	free(newer);
	free(older);
	free(last);
}

static void profile_make(
	const struct sim_workload *workload, unsigned index, struct profile *profile)
{
	const struct sim_guest *guest = &workload->guest[index];
	u32 accesses = guest->end[workload->ticks - 1], width;
	u32 *distance = sim_alloc(accesses, sizeof(u32)), *next = sim_alloc(accesses, sizeof(u32));

	profile->grid = MIN(guest->pages / SIM_MIB + 1, workload->memory / SIM_MIB);
	profile->grid = MIN(profile->grid, 512U);
	width = profile->grid + 1;
	profile->reads = sim_alloc((size_t)workload->ticks * width, sizeof(u32));
	profile->fill = sim_alloc((size_t)workload->ticks * width, sizeof(u32));
	distances(guest, accesses, distance, next);
	for (u32 tick = 0, i = 0; tick < workload->ticks; tick++) {
		u32 *reads = &profile->reads[tick * width];

		/* A size of s MiB reads what lies deeper: count at the largest size that still
		 * misses. */
		for (; i < guest->end[tick]; i++)
			if (distance[i] != FAR)
				reads[MIN((distance[i] - 1) / SIM_MIB, profile->grid)]++;
		for (u32 size = profile->grid; size-- > 0;)
			reads[size] += reads[size + 1];
	}
	fill_profile(workload, guest, profile, next);
	free(distance);
	free(next);
}

/* ---- Two guests' memory divided exactly ---- */

struct pair {
	const struct profile *a, *b;
	u16 *path_a, *path_b;
	u32 min_a, min_b;
};

static u32 at(const struct profile *profile, const u32 *table, u32 tick, u32 size)
{
	return table[tick * (profile->grid + 1) + MIN(size, profile->grid)];
}

static u32 growth(const struct profile *profile, u32 tick, u32 from, u32 to)
{
	return to > from ? at(profile, profile->fill, tick, to) -
				   at(profile, profile->fill, tick, from)
			 : 0;
}

/* Divides path_a + path_b anew at every tick; fills both in. */
static void divide_pair(const struct pair *pair, u32 ticks)
{
	u32 most = 0, width;
	u64 *cost, *before;
	u16 *from;

	for (u32 tick = 0; tick < ticks; tick++)
		most = MAX(most, (u32)pair->path_a[tick] + pair->path_b[tick]);
	width = most + 1;
	cost = sim_alloc(width, sizeof(u64));
	before = sim_alloc(width, sizeof(u64));
	from = sim_alloc((size_t)ticks * width, sizeof(u16));
	for (u32 tick = 0; tick < ticks; tick++) {
		u32 both = (u32)pair->path_a[tick] + pair->path_b[tick], was = both;

		if (tick)
			was = (u32)pair->path_a[tick - 1] + pair->path_b[tick - 1];
		for (u32 a = pair->min_a; a + pair->min_b <= both; a++) {
			u64 best = ~0UL;
			u32 base = at(pair->a, pair->a->reads, tick, a) +
				   at(pair->b, pair->b->reads, tick, both - a);

			for (u32 old = pair->min_a; tick && old + pair->min_b <= was; old++) {
				u64 way = before[old];

				/* Beyond what it ever touches a guest's size does not matter. */
				way += growth(pair->a, tick, old, a) +
				       growth(pair->b, tick, was - old, both - a);
				/* Of equal ways the one that moves least. */
				if (way < best || (way == best && old <= a)) {
					best = way;
					from[tick * width + a] = (u16)old;
				}
			}
			cost[a] = (tick ? best : 0) + base;
		}
		memcpy(before, cost, width * sizeof(u64));
	}
	for (u32 tick = ticks, a = 0; tick-- > 0;) {
		u32 both = (u32)pair->path_a[tick] + pair->path_b[tick];

		if (tick == ticks - 1) {
			a = pair->min_a;
			for (u32 other = a; other + pair->min_b <= both; other++)
				if (cost[other] < cost[a])
					a = other;
		}
		pair->path_a[tick] = (u16)a;
		pair->path_b[tick] = (u16)(both - a);
		a = from[tick * width + a];
	}
	free(cost);
	free(before);
	free(from);
}

static u64 path_cost(
	const struct sim_workload *workload, const struct profile *profiles, const u16 *path)
{
	u64 sum = 0;

	for (unsigned i = 0; i < workload->guests; i++)
		for (u32 tick = 0; tick < workload->ticks; tick++) {
			const u16 *size = &path[i * workload->ticks + tick];

			sum += at(&profiles[i], profiles[i].reads, tick, *size);
			sum += tick ? growth(&profiles[i], tick, size[-1], size[0]) : 0;
		}
	return sum;
}

/* ---- Starts and rounds ---- */

/* The division that @span ticks at a time would be best if moving cost nothing: by steepest
 * stretches. */
static void start_greedy(
	const struct sim_workload *workload, const struct profile *profiles, u16 *path, u32 span)
{
	for (u32 from = 0; from < workload->ticks; from += span) {
		u32 end = MIN(from + span, workload->ticks), room = workload->memory / SIM_MIB;
		u32 size[64];
		u64 *sum[64];

		for (unsigned i = 0; i < workload->guests; i++) {
			u32 width = profiles[i].grid + 1;

			sum[i] = sim_alloc(width, sizeof(u64));
			for (u32 tick = from; tick < end; tick++)
				for (u32 s = 0; s < width; s++)
					sum[i][s] += profiles[i].reads[tick * width + s];
			size[i] = (workload->guest[i].min + SIM_MIB - 1) / SIM_MIB;
			room -= size[i];
		}
		while (room) {
			double best = 0;
			unsigned who = 0;
			u32 far = 0;

			for (unsigned i = 0; i < workload->guests; i++)
				for (u32 s = size[i] + 1;
					s <= profiles[i].grid && s - size[i] <= room; s++) {
					double slope = (double)(sum[i][size[i]] - sum[i][s]) /
						       (s - size[i]);

					if (slope > best) {
						best = slope;
						who = i;
						far = s - size[i];
					}
				}
			if (best <= 0)
				break;
			size[who] += far;
			room -= far;
		}
		for (unsigned i = 0; i < workload->guests; i++) {
			u32 extra = room / workload->guests + (i < room % workload->guests);

			for (u32 tick = from; tick < end; tick++)
				path[i * workload->ticks + tick] = (u16)(size[i] + extra);
			free(sum[i]);
		}
	}
}

static void improve(const struct sim_workload *workload, const struct profile *profiles, u16 *path,
	unsigned rounds)
{
	unsigned n = workload->guests, quiet = 0;
	struct sim_random random = {4711};
	u64 now = path_cost(workload, profiles, path);
	unsigned order[64];

	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned round = 0; round < rounds && quiet < 3; round++) {
		u64 new;

		for (unsigned i = n - 1; i > 0; i--) {
			unsigned other = sim_below(&random, i + 1), kept = order[i];

			order[i] = order[other];
			order[other] = kept;
		}
		for (unsigned i = 0; i + 1 < n; i += 2) {
			unsigned a = order[i], b = order[i + 1];

			divide_pair(
				&(struct pair){
					.a = &profiles[a],
					.b = &profiles[b],
					.path_a = &path[a * workload->ticks],
					.path_b = &path[b * workload->ticks],
					.min_a = (workload->guest[a].min + SIM_MIB - 1) / SIM_MIB,
					.min_b = (workload->guest[b].min + SIM_MIB - 1) / SIM_MIB,
				},
				workload->ticks);
		}
		new = path_cost(workload, profiles, path);
		quiet = new + new / 1000 < now ? 0 : quiet + 1;
		now = MIN(now, new);
	}
}

u64 oracle_reads(const struct sim_workload *workload, bool fifo, u16 **path)
{
	struct profile *profiles = sim_alloc(workload->guests, sizeof(*profiles));
	size_t points = (size_t)workload->guests * workload->ticks;
	u32 spans[] = {workload->ticks, MIN(workload->phase, workload->ticks), 40};
	u64 best = ~0UL;

	*path = sim_alloc(points, sizeof(u16));
	for (unsigned i = 0; i < workload->guests; i++)
		profile_make(workload, i, &profiles[i]);
	for (unsigned start = 0; start < ARRAY_SIZE(spans); start++) {
		u16 *try = sim_alloc(points, sizeof(u16));
		u64 reads;

		start_greedy(workload, profiles, try, spans[start]);
		improve(workload, profiles, try, workload->guests == 2 ? 1 : ROUNDS);
		reads = replay(workload, try, fifo);
		if (reads < best) {
			best = reads;
			memcpy(*path, try, points * sizeof(u16));
		}
		free(try);
	}
	for (unsigned i = 0; i < workload->guests; i++) {
		free(profiles[i].reads);
		free(profiles[i].fill);
	}
	free(profiles);
	return best;
}
