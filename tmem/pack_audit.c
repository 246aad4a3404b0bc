/*
 * The audit of a pack: every run's places, headers, lists and frames recounted (tmem/pack.h).
 */
#include <abi/errno.h>

#include "tmem/pack.h"
#include "tmem/pack_run.h"
#include "tmem/port.h"

struct sums {
	u64 runs, fragments, bytes, frames, free;
	u64 by_class[TMEM_CLASSES]; /* of the fragments */
	bool bad;
};

#define FAIL(sums, ...)                                                                            \
	do {                                                                                       \
		tmem_port_complain("pack audit: " __VA_ARGS__);                                    \
		(sums)->bad = true;                                                                \
	} while (0)

static void audit_fragments(
	const struct pack *pack, u32 id, const struct run *run, struct sums *sums)
{
	u32 sorted[RUN_FRAGMENTS];
	u32 count = run_sort(run, sorted), end = 0, used = 0;

	for (u32 i = 0; i < count; i++) {
		u32 place = sorted[i] >> 8, entry = sorted[i] & 0xff;
		const struct fragment *fragment;

		if (place_first(place) < end ||
			place_first(place) + place_granules(place) > run_capacity(run)) {
			FAIL(sums, "run %u: fragment %u at %x", id, entry, place);
			return;
		}
		end = place_first(place) + place_granules(place);
		used += place_granules(place);
		fragment = run_fragment(pack, run, entry);
		if (fragment->entry != entry ||
			granules_for(fragment->length) != place_granules(place))
			FAIL(sums, "run %u: fragment %u is %u, %u bytes in %u granules", id, entry,
				fragment->entry, fragment->length, place_granules(place));
		sums->bytes += fragment->length;
	}
	if (count != run->count || run_capacity(run) - used != run->free)
		FAIL(sums, "run %u: %u fragments, %u counted; %u granules, %u free of %u", id,
			run->count, count, used, run->free, run_capacity(run));
	/* No list of runs with room leads to it. */
	if (count == RUN_FRAGMENTS && run->free >= FRAME_GRANULES)
		FAIL(sums, "run %u: no entry left, and %u granules are free", id, run->free);
	sums->fragments += count;
	sums->by_class[run->class] += count;
}

static void audit_run(const struct pack *pack, u32 id, const struct run *run, struct sums *sums)
{
	if (run->frame_count > RUN_FRAMES) {
		FAIL(sums, "run %u: %u frames", id, run->frame_count);
		return;
	}
	for (u32 i = 0; i < run->frame_count; i++) {
		u32 slot = run->frames[i];
		const struct page *page = page_at(pack->tmem, slot);

		if (page_state(page) != SLOT_PACKED || page->owner != id ||
			page_client(page) != pack->client)
			FAIL(sums, "run %u: slot %x is state %u of run %u of client %u", id, slot,
				page_state(page), page->owner, page_client(page));
	}
	audit_fragments(pack, id, run, sums);
	sums->runs++;
	sums->frames += run->frame_count;
	sums->free += run->free;
}

/* Runs on the lists: each where it belongs. */
static u64 audit_lists(const struct pack *pack, enum tmem_class class, struct sums *sums)
{
	const struct pack_class *of = &pack->classes[class];
	u64 listed = 0;
	u32 prev = 0;

	for (u32 bucket = 0; bucket < PACK_BUCKETS; bucket++) {
		prev = 0;
		if (!of->buckets[bucket] != !(of->filled >> bucket & 1))
			FAIL(sums, "bucket %u: run %u, bits %lx", bucket, of->buckets[bucket],
				(unsigned long)of->filled);
		for (u32 id = of->buckets[bucket]; id && listed <= slab_used(&pack->runs);) {
			const struct run *run = run_at(pack, id);

			if (run->class != class || run->prev != prev ||
				bucket !=
					(run->count == RUN_FRAGMENTS ? 0 : MIN(run->free / 8, 63)))
				FAIL(sums, "run %u with %u free in bucket %u", id, run->free,
					bucket);
			listed++;
			prev = id;
			id = run->next;
		}
	}
	return listed;
}

static u64 audit_short(const struct pack *pack, enum tmem_class class, struct sums *sums)
{
	u64 listed = 0;
	u32 prev = 0;

	for (u32 id = pack->classes[class].short_runs; id && listed <= slab_used(&pack->runs);) {
		const struct run *run = run_at(pack, id);

		if (run->class != class || run->prev_short != prev ||
			run->frame_count == RUN_FRAMES || run->count == RUN_FRAGMENTS)
			FAIL(sums, "run %u with %u frames is listed as short", id,
				run->frame_count);
		listed++;
		prev = id;
		id = run->next_short;
	}
	return listed;
}

int pack_audit(const struct pack *pack, void (*visit)(void *page, void *argument), void *argument)
{
	struct sums sums = {0};
	u64 listed = 0, short_runs = 0, short_listed = 0;

	for (u32 leaf = slab_next_leaf(&pack->runs, 0); leaf != ~0U;
		leaf = slab_next_leaf(&pack->runs, leaf + 1)) {
		for (u32 place = 1; place <= pack->runs.per_leaf; place++) {
			u32 id = leaf << RUN_ID_SHIFT | place;
			const struct run *run = run_at(pack, id);

			if (!run->frame_count)
				continue;
			audit_run(pack, id, run, &sums);
			short_runs += run->frame_count < RUN_FRAMES && run->count < RUN_FRAGMENTS;
		}
	}
	for (unsigned class = 0; class < TMEM_CLASSES; class ++) {
		listed += audit_lists(pack, class, &sums);
		short_listed += audit_short(pack, class, &sums);
	}
	if (listed != sums.runs || sums.runs != slab_used(&pack->runs) ||
		short_listed != short_runs)
		FAIL(&sums, "%llu runs, %llu listed, %u records; %llu short, %llu listed",
			(unsigned long long)sums.runs, (unsigned long long)listed,
			slab_used(&pack->runs), (unsigned long long)short_runs,
			(unsigned long long)short_listed);
	if (sums.fragments != pack->fragments ||
		sums.by_class[EPHEMERAL] != pack->classes[EPHEMERAL].fragments ||
		sums.by_class[PERSISTENT] != pack->classes[PERSISTENT].fragments ||
		sums.bytes != pack->bytes || sums.frames != pack->frames || sums.free != pack->free)
		FAIL(&sums,
			"%llu of %llu fragments, %llu of %llu bytes, %llu of %llu frames, %llu of "
			"%llu granules free",
			(unsigned long long)sums.fragments, (unsigned long long)pack->fragments,
			(unsigned long long)sums.bytes, (unsigned long long)pack->bytes,
			(unsigned long long)sums.frames, (unsigned long long)pack->frames,
			(unsigned long long)sums.free, (unsigned long long)pack->free);
	slab_visit(&pack->runs, visit, argument);
	return sums.bad ? -SLUICE_EINVAL : 0;
}
