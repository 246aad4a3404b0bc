/*
 * The miniatures, and the choice among the rules (tmem/queues.h).
 *
 * A miniature is set-associative: each set holds the sampled keys of as many pages as it has ways,
 * oldest first, and evicts by the rule's own small share. A key in the sample costs some hundred
 * instructions, so at most one in eight is sampled, and of a client with more than 5,208 pages
 * fewer: 651 for all its pages.
 */
#include "tmem/queues.h"

#include "tmem/arena.h"

#define WAYS         31U
#define SETS         ((u32)(PAGE_SIZE / sizeof(struct set) / RULES))
#define SAMPLED_PART 8U /* at most one key in so many */
/* Puts of sampled keys between two choices: as many as the miniatures have ways, but enough that
 * chance does not decide. */
#define PERIOD(sets) MAX((sets)*WAYS, 256U)

/* Invariant: the first @count keys are in use, and @small of them do not have MAIN_KEY set. */
struct set {
	u8 count, small;
	u16 keys[WAYS]; /* bit 0: MAIN_KEY; the rest as fingerprints of a history */
};
_Static_assert(sizeof(struct set) == 64, "a set is one cache line");
#define MAIN_KEY 1U

struct miniatures {
	struct set sets[RULES][SETS];
};
_Static_assert(sizeof(struct miniatures) <= PAGE_SIZE, "the miniatures are one page");

/* How many of 31 pages in the small queue each rule respects. */
static const u8 small_ways[RULES] = {15, WAYS, 3};

void queues_init(struct queues *queues)
{
	*queues = (struct queues){.rule = RULE_FIFO};
}

void queues_destroy(struct tmem *tmem, struct queues *queues)
{
	if (queues->miniatures)
		metadata_free(tmem, queues->miniatures);
	queues_init(queues);
}

void queues_visit(
	const struct queues *queues, void (*visit)(void *page, void *argument), void *argument)
{
	if (queues->miniatures)
		visit(queues->miniatures, argument);
}

void queues_adjust(struct tmem *tmem, struct queues *queues, u64 pages)
{
	u64 change = pages > queues->pages ? pages - queues->pages : queues->pages - pages;
	u32 sets = (u32)MIN(pages / (WAYS * SAMPLED_PART), SETS);

	if (change <= queues->pages / 4)
		return;
	if (!sets) {
		queues_destroy(tmem, queues);
		return;
	}
	if (!queues->miniatures) {
		queues->miniatures = metadata_alloc(tmem);
		if (!queues->miniatures)
			return;
		queues->rule = RULE_HALF;
		queues->countdown = PERIOD(sets);
	}
	queues->pages = pages;
	queues->sets = sets;
	queues->sampled = (u32)(((u64)sets * WAYS << 32) / pages);
}

static void remove_key(struct set *set, unsigned place)
{
	set->small = (u8)(set->small - !(set->keys[place] & MAIN_KEY));
	set->count--;
	for (; place < set->count; place++)
		set->keys[place] = set->keys[place + 1];
}

/* Removes the oldest key that equals @key in the bits of @mask, if there is one. */
static bool remove_equal(struct set *set, u16 key, u16 mask)
{
	for (unsigned place = 0; place < set->count; place++) {
		if (!((set->keys[place] ^ key) & mask)) {
			remove_key(set, place);
			return true;
		}
	}
	return false;
}

/* The rule in force stays unless another has hit more, by a margin that chance seldom brings. */
static void choose_rule(struct queues *queues)
{
	u32 best = queues->rule;

	for (u32 rule = 0; rule < RULES; rule++) {
		if (queues->hits[rule] >
			queues->hits[best] + (best == queues->rule ? queues->countdown / 64 : 0))
			best = rule;
	}
	queues->rule = best;
	for (u32 rule = 0; rule < RULES; rule++)
		queues->hits[rule] -= queues->hits[rule] / 8;
}

void queues_play_sample(
	struct queues *queues, u64 hash, enum sample_event event, enum departure last)
{
	for (u32 rule = 0; rule < RULES; rule++) {
		struct set *set =
			&queues->miniatures->sets[rule][(hash & 0xffffffff) * queues->sets >> 32];
		bool main = rule_wants_main(rule, last, queues->random);
		bool found = remove_equal(set, (u16)hash, (u16)~MAIN_KEY);

		if (event != SAMPLE_PUT) {
			queues->hits[rule] += found;
			if (!found || event == SAMPLE_GET)
				continue;
		}
		if (set->count == WAYS) {
			bool from_main = set->small <= small_ways[rule] && set->small < WAYS;

			remove_equal(set, from_main, MAIN_KEY);
		}
		set->keys[set->count++] = (u16)((hash & ~(u64)MAIN_KEY) | main);
		set->small = (u8)(set->small + !main);
	}
	if (event == SAMPLE_PUT && --queues->countdown == 0) {
		queues->countdown = PERIOD(queues->sets);
		choose_rule(queues);
	}
}

enum queue queues_victim(const struct queues *queues, u64 small, u64 main)
{
	if (!small || !main)
		return small ? QUEUE_SMALL : QUEUE_MAIN;
	/* What the main queue still has from before goes one by one. */
	if (queues->rule == RULE_FIFO)
		return queues->random >> 31 ? QUEUE_MAIN : QUEUE_SMALL;
	return small * WAYS > (small + main) * small_ways[queues->rule] ? QUEUE_SMALL : QUEUE_MAIN;
}
