/*
 * Building the index: the first pass counts the documents of each word, the second fills the
 * postings.
 */
#include "index.h"

#include <stdio.h>
#include <stdlib.h>

#include "digest.h"
#include "guest-shim/shim.h"

#define WORD_MIN 3
#define WORD_MAX 31
#define SLOTS    (1u << 17)
#define CHUNK    4096u
#define NOBODY   UINT32_MAX

static int word_byte(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A' + 'a';
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')
		return c;
	return 0;
}

uint64_t index_next_word(const char *text, uint32_t count, uint32_t *at, uint32_t *start)
{
	uint32_t i = *at;

	while (i < count) {
		uint64_t hash = DIGEST_START;
		uint32_t first;
		char folded;

		while (i < count && !word_byte(text[i]))
			i++;
		first = i;
		for (; i < count && (folded = (char)word_byte(text[i])) != 0; i++)
			hash = digest_bytes(hash, &folded, 1);
		*at = i;
		*start = first;
		if (i - first >= WORD_MIN && i - first <= WORD_MAX &&
			!(text[first] >= '0' && text[first] <= '9'))
			return hash ? hash : 1;
	}
	return 0;
}

static struct term *slot_of(const struct index *index, uint64_t hash)
{
	uint32_t slot = (uint32_t)(hash >> 20) & (index->slots - 1);

	while (index->terms[slot].hash && index->terms[slot].hash != hash)
		slot = (slot + 1) & (index->slots - 1);
	return &index->terms[slot];
}

const struct term *index_find(const struct index *index, uint64_t hash)
{
	const struct term *term = slot_of(index, hash);

	return term->hash ? term : NULL;
}

static void count_word(struct index *index, uint64_t hash, uint32_t document)
{
	struct term *term = slot_of(index, hash);

	if (!term->hash) {
		if (++index->term_count > index->slots / 4 * 3) {
			printf("index: more than %u words\n", (unsigned)(index->slots / 4 * 3));
			exit(2);
		}
		term->hash = hash;
		term->last_document = NOBODY;
	}
	if (term->last_document == document)
		return;
	term->last_document = document;
	term->documents++;
	index->posting_count++;
}

static void fill_word(struct index *index, uint64_t hash, uint32_t document, uint32_t offset)
{
	struct term *term = slot_of(index, hash);
	struct posting *posting;

	if (term->filled && index->postings[term->first + term->filled - 1].document == document) {
		index->postings[term->first + term->filled - 1].count++;
		return;
	}
	posting = &index->postings[term->first + term->filled++];
	*posting = (struct posting){.document = document, .offset = offset, .count = 1};
}

/* A word that a chunk's end cuts is read again with the next chunk, so chunks overlap by less than
 * a word. */
static void read_document(
	struct index *index, const struct corpus *corpus, uint32_t document, int filling)
{
	static char text[CHUNK];
	uint32_t bytes = corpus->documents[document].bytes;
	uint32_t offset = 0;

	while (offset < bytes) {
		uint32_t count = bytes - offset < CHUNK ? bytes - offset : CHUNK;
		int last = offset + count == bytes;
		uint32_t consumed = count;
		uint32_t at = 0;
		uint32_t start;
		uint64_t hash;

		corpus_read(corpus, document, offset, text, count);
		while ((hash = index_next_word(text, count, &at, &start)) != 0) {
			if (at == count && !last && start > 0) {
				consumed = start;
				break;
			}
			if (filling)
				fill_word(index, hash, document, offset + start);
			else
				count_word(index, hash, document);
		}
		offset += consumed;
	}
}

static void *allocate(uint64_t bytes)
{
	void *memory = shim_alloc_anonymous(bytes);

	if (!memory) {
		printf("index: no memory for %llu bytes\n", (unsigned long long)bytes);
		exit(2);
	}
	return memory;
}

void index_build(struct index *index, const struct corpus *corpus, uint32_t stride)
{
	uint32_t first = 0;

	*index = (struct index){.slots = SLOTS};
	index->terms = allocate(index->slots * sizeof(struct term));
	for (uint32_t d = 0; d < corpus->count; d += stride)
		read_document(index, corpus, d, 0);
	index->postings = allocate(index->posting_count * sizeof(struct posting));
	for (uint32_t slot = 0; slot < index->slots; slot++) {
		index->terms[slot].first = first;
		first += index->terms[slot].documents;
	}
	for (uint32_t d = 0; d < corpus->count; d += stride)
		read_document(index, corpus, d, 1);
}
