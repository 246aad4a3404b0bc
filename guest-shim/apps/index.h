/*
 * An inverted index over the corpus: for each word the documents that hold it. Lives in anonymous
 * memory, so that its cold parts are swapped.
 */
#ifndef APPS_INDEX_H
#define APPS_INDEX_H

#include <stdint.h>

#include "corpus.h"

struct posting {
	uint32_t document;
	uint32_t offset; /* of the first occurrence */
	uint32_t count;  /* occurrences */
};

/* A word is known by its 64-bit hash; its postings stand in ascending order of documents. */
struct term {
	uint64_t hash; /* 0: empty slot */
	uint32_t first;
	uint32_t documents;
	uint32_t last_document; /* while building */
	uint32_t filled;        /* while building */
};

struct index {
	struct term *terms; /* open addressing; slots is a power of two */
	uint32_t slots;
	uint32_t term_count;
	struct posting *postings;
	uint64_t posting_count;
};

/* Builds the index in two passes over the documents divisible by @stride. Ends the program with a
 * message if memory is short. */
void index_build(struct index *index, const struct corpus *corpus, uint32_t stride);
/* The term of a word, or NULL. */
const struct term *index_find(const struct index *index, uint64_t hash);
/* The hash of the word that begins at or after @*at in text of @count bytes; *@at then points
 * behind it and
 * *@start at its first byte. 0 at the end. Words are letters, digits and underscores, 3 to 31 of
 * them, not beginning with a digit; case is folded. */
uint64_t index_next_word(const char *text, uint32_t count, uint32_t *at, uint32_t *start);

#endif
