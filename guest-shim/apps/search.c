/*
 * search: builds an inverted index over the data disk and answers a stream of two-word queries
 * whose popularity follows Zipf. In its own turns all queries are asked for; in the others only the
 * most popular, so that it needs little memory then. Each answer reads the best document's page
 * around the first word.
 *
 * Options: queries (in a hungry turn), idle_queries (in another), kinds (distinct queries), popular
 * (how many of them are asked for in a turn that is not its own), stride (of documents), seed,
 * expect (digest), and those of the schedule.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus.h"
#include "digest.h"
#include "guest-shim/shim.h"
#include "index.h"
#include "options.h"
#include "randomness.h"
#include "schedule.h"

#define SNIPPET 256u

struct query {
	uint64_t first, second; /* hashes of words */
};

struct engine {
	struct corpus corpus;
	struct index index;
	struct query *queries;
	struct zipf all, popular;
	struct randomness random;
	uint32_t stride;
};

static void *allocate(uint64_t bytes)
{
	void *memory = shim_alloc_anonymous(bytes);

	if (!memory) {
		printf("search: no memory for %llu bytes\n", (unsigned long long)bytes);
		exit(2);
	}
	return memory;
}

/* A word out of a random page of @document, 0 if the page holds none. */
static uint64_t random_document_word(struct engine *engine, uint32_t document)
{
	static char text[4096];
	uint32_t bytes = engine->corpus.documents[document].bytes;
	uint32_t offset = bytes ? random_below(&engine->random, bytes) & ~4095u : 0;
	uint32_t count = bytes - offset < sizeof(text) ? bytes - offset : (uint32_t)sizeof(text);
	uint32_t at = count ? random_below(&engine->random, count) : 0;
	uint32_t start;

	if (!count)
		return 0;
	corpus_read(&engine->corpus, document, offset, text, count);
	/* The first word from a random place is likely cut, the second is whole. */
	index_next_word(text, count, &at, &start);
	return index_next_word(text, count, &at, &start);
}

/* Queries are made of words that stand in one document, so that most have an answer. */
static void make_queries(struct engine *engine, uint32_t kinds)
{
	uint32_t documents = (engine->corpus.count + engine->stride - 1) / engine->stride;

	engine->queries = allocate(kinds * sizeof(struct query));
	for (uint32_t i = 0; i < kinds; i++) {
		uint32_t document = random_below(&engine->random, documents) * engine->stride;

		engine->queries[i].first = random_document_word(engine, document);
		engine->queries[i].second = random_document_word(engine, document);
	}
}

/* Merges two posting lists and returns the entry of @a in the document where both words are most
 * frequent. */
static const struct posting *best_of(
	const struct index *index, const struct term *a, const struct term *b)
{
	const struct posting *left = &index->postings[a->first];
	const struct posting *left_end = left + a->documents;
	const struct posting *right = &index->postings[b->first];
	const struct posting *right_end = right + b->documents;
	const struct posting *best = NULL;
	uint64_t best_score = 0;

	while (left < left_end && right < right_end) {
		if (left->document < right->document) {
			left++;
		} else if (left->document > right->document) {
			right++;
		} else {
			uint64_t score = (uint64_t)left->count * right->count;

			if (score > best_score) {
				best_score = score;
				best = left;
			}
			left++;
			right++;
		}
	}
	return best;
}

static uint64_t answer(struct engine *engine, const struct query *query, uint64_t digest)
{
	const struct term *a = index_find(&engine->index, query->first);
	const struct term *b = index_find(&engine->index, query->second);
	const struct posting *best = a && b ? best_of(&engine->index, a, b) : NULL;
	char text[SNIPPET];
	uint32_t count;

	if (!best)
		return digest_word(digest, 0);
	count = engine->corpus.documents[best->document].bytes - best->offset;
	if (count > SNIPPET)
		count = SNIPPET;
	corpus_read(&engine->corpus, best->document, best->offset, text, count);
	digest = digest_word(digest, best->document);
	return digest_bytes(digest, text, count);
}

int main(int argc, char **argv)
{
	uint32_t queries = (uint32_t)option(argc, argv, "queries", 4000);
	uint32_t idle_queries = (uint32_t)option(argc, argv, "idle_queries", 200);
	uint32_t kinds = (uint32_t)option(argc, argv, "kinds", 4000);
	uint32_t popular = (uint32_t)option(argc, argv, "popular", 50);
	uint64_t expected = option(argc, argv, "expect", 0);
	uint64_t digest = DIGEST_START;
	struct engine engine = {0};
	struct schedule schedule;
	bool hungry;

	engine.random.state = option(argc, argv, "seed", 1);
	engine.stride = (uint32_t)option(argc, argv, "stride", 1);
	if (!queries || !kinds || !popular || popular > kinds || !engine.stride) {
		printf("search: queries, kinds, popular (at most kinds) and stride must not be "
		       "0\n");
		return 2;
	}
	schedule_init(&schedule, argc, argv);
	corpus_open(&engine.corpus);
	index_build(&engine.index, &engine.corpus, engine.stride);
	printf("search: %u words, %llu postings of %u files\n", (unsigned)engine.index.term_count,
		(unsigned long long)engine.index.posting_count, (unsigned)engine.corpus.count);
	make_queries(&engine, kinds);
	zipf_init(&engine.all, allocate(kinds * sizeof(uint64_t)), kinds);
	zipf_init(&engine.popular, allocate(popular * sizeof(uint64_t)), popular);

	while (schedule_next(&schedule, &hungry)) {
		const struct zipf *zipf = hungry ? &engine.all : &engine.popular;
		uint32_t count = hungry ? queries : idle_queries;

		for (uint32_t i = 0; i < count; i++)
			digest = answer(
				&engine, &engine.queries[zipf_rank(zipf, &engine.random)], digest);
		printf("search: turn %u: %u queries, digest %#llx\n", (unsigned)schedule.next,
			(unsigned)count, (unsigned long long)digest);
	}
	printf("search: digest=%#llx\n", (unsigned long long)digest);
	if (expected && digest != expected) {
		printf("search: WRONG: expected %#llx\n", (unsigned long long)expected);
		return 1;
	}
	return 0;
}
