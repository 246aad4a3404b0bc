/*
 * The miss filter of a private tmem pool: a window of read-only pages from which a guest tells,
 * without an exit, that a page is surely not in the pool. HYPERCALL_TMEM_FILTER opens it and says
 * where it is, and the key that the pool's own hash takes. Both sides compute positions by the
 * functions here.
 */
#ifndef ABI_FILTER_H
#define ABI_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#define TMEM_FILTER_PROBES     4u   /* bits a page has, all in one block */
#define TMEM_FILTER_BLOCK_BITS 512u /* a cache line */
#define TMEM_FILTER_KEY_WORDS  5u

/* What HYPERCALL_TMEM_FILTER writes. The key stays as long as the pool. */
struct tmem_filter_info {
	uint64_t window;       /* gpa, a multiple of 2 MiB */
	uint64_t window_bytes; /* what the window can ever take; most of it is not there */
	uint64_t key[TMEM_FILTER_KEY_WORDS];
	uint64_t zero[9];
};
_Static_assert(sizeof(struct tmem_filter_info) == 128, "filter info is 128 bytes");

/*
 * The first bytes of the window. The bits stand @blocks times 64 bytes from page @first_page of
 * the window on. Both change together, and every change changes @sequence, which is odd meanwhile,
 * and for ever once the pool is gone. A reader who finds it odd, or changed after he has read bits,
 * knows nothing: the page may be present.
 *
 * The hypervisor follows a sample of the pages, to learn what more memory would be worth to the
 * guest: of these even a miss is to be asked for. @sample_threshold does not change.
 */
struct tmem_filter_header {
	uint64_t sequence;
	uint32_t blocks; /* 0: every page may be present */
	uint32_t first_page;
	uint32_t sample_threshold; /* see tmem_filter_is_sampled(); 0: no page is */
	uint32_t zero32;
	uint64_t zero[5];
};
_Static_assert(sizeof(struct tmem_filter_header) == 64, "a filter's header is a cache line");

/* Both halves of a product of 128 bits. */
static inline uint64_t tmem_filter_fold(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The part of the hash that all pages of one object share. */
static inline uint64_t tmem_filter_object(
	const uint64_t key[TMEM_FILTER_KEY_WORDS], const uint64_t object[3])
{
	uint64_t first = tmem_filter_fold(object[0] ^ key[0], object[1] ^ key[1]);

	return tmem_filter_fold(object[2] ^ key[2], first ^ key[3]) ^ key[4];
}

/*
 * The hash of page @index of the object with that @sum. It need not withstand a guest: he has the
 * key, and handles that collide only make his own filter worse. What it must do is spread handles
 * as guests make them, indices in a row above all: a walk around 2^64 in steps, of which the rest
 * (D. Stafford's variant 13 of the finalizer of MurmurHash3) leaves no pattern.
 */
static inline uint64_t tmem_filter_hash(uint64_t sum, uint32_t index)
{
	uint64_t hash = sum + index * 0x9e3779b97f4a7c15u;

	hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
	hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
	return hash ^ hash >> 31;
}

/*
 * Whether page @index of the object with that @sum is sampled. Indices in a row walk around 2^32 in
 * steps of the golden ratio, so every row has its part of them.
 */
#define TMEM_SAMPLE_STEP 0x9e3779b9u
static inline uint32_t tmem_sample_word(uint64_t sum, uint32_t index)
{
	return (uint32_t)(sum >> 32) + index * TMEM_SAMPLE_STEP;
}
static inline bool tmem_filter_is_sampled(
	const struct tmem_filter_header *header, uint64_t sum, uint32_t index)
{
	return tmem_sample_word(sum, index) <
	       __atomic_load_n(&header->sample_threshold, __ATOMIC_RELAXED);
}

/* The block of @blocks that a hash falls into, and its probe's bit there. */
static inline uint32_t tmem_filter_block(uint64_t hash, uint32_t blocks)
{
	return (uint32_t)((hash >> 32) * blocks >> 32);
}
static inline uint32_t tmem_filter_bit(uint64_t hash, unsigned probe)
{
	return (uint32_t)(hash >> 9 * probe) & (TMEM_FILTER_BLOCK_BITS - 1);
}

/* What a look into the window goes by. */
struct tmem_filter_view {
	uint64_t sequence;
	uint64_t offset; /* of the block's line in the window */
};

/* Where the bits of @hash stand now. False: nothing is known. */
static inline bool tmem_filter_find(
	const struct tmem_filter_header *header, uint64_t hash, struct tmem_filter_view *view)
{
	uint64_t first;
	uint32_t blocks;

	view->sequence = __atomic_load_n(&header->sequence, __ATOMIC_ACQUIRE);
	blocks = __atomic_load_n(&header->blocks, __ATOMIC_ACQUIRE);
	first = __atomic_load_n(&header->first_page, __ATOMIC_ACQUIRE);
	view->offset = (first << 12) +
		       (uint64_t)tmem_filter_block(hash, blocks) * (TMEM_FILTER_BLOCK_BITS / 8);
	return !(view->sequence & 1) && blocks;
}

/* Whether the bits at @line, which is at view->offset, say that no page with @hash is there. */
static inline bool tmem_filter_line_lacks(const struct tmem_filter_header *header,
	const struct tmem_filter_view *view, const uint64_t *line, uint64_t hash)
{
	for (unsigned probe = 0; probe < TMEM_FILTER_PROBES; probe++) {
		uint32_t bit = tmem_filter_bit(hash, probe);

		if (!(__atomic_load_n(&line[bit / 64], __ATOMIC_ACQUIRE) >> bit % 64 & 1))
			return __atomic_load_n(&header->sequence, __ATOMIC_ACQUIRE) ==
			       view->sequence;
	}
	return false;
}

/*
 * Whether a get of page @index of the object with that @sum (tmem_filter_object()) would miss: true
 * only if at some moment of this call it would have, and if the page is not sampled. @window is
 * where the guest has mapped the window. False says nothing. A put that returned before the call
 * began, on whatever vCPU, is seen.
 */
static inline bool tmem_filter_surely_lacks(const void *window, uint64_t sum, uint32_t index)
{
	const struct tmem_filter_header *header = (const struct tmem_filter_header *)window;
	uint64_t hash = tmem_filter_hash(sum, index);
	struct tmem_filter_view view;

	return !tmem_filter_is_sampled(header, sum, index) &&
	       tmem_filter_find(header, hash, &view) &&
	       tmem_filter_line_lacks(
		       header, &view, (const uint64_t *)((const char *)window + view.offset), hash);
}

#endif
