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
#define TMEM_FILTER_KEY_WORDS  6u

/* What HYPERCALL_TMEM_FILTER writes. The key stays as long as the pool. */
struct tmem_filter_info {
	uint64_t window;       /* gpa, a multiple of 2 MiB */
	uint64_t window_bytes; /* what the window can ever take; most of it is not there */
	uint64_t key[TMEM_FILTER_KEY_WORDS];
	uint64_t zero[8];
};
_Static_assert(sizeof(struct tmem_filter_info) == 128, "filter info is 128 bytes");

/*
 * The first bytes of the window. The bits stand @blocks times 64 bytes from page @first_page of
 * the window on. Both change together, and every change changes @sequence, which is odd meanwhile,
 * and for ever once the pool is gone. A reader who finds it odd, or changed after he has read bits,
 * knows nothing: the page may be present.
 */
struct tmem_filter_header {
	uint64_t sequence;
	uint32_t blocks; /* 0: every page may be present */
	uint32_t first_page;
	uint64_t zero[6];
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
 * The hash of page @index of that object. Folded products need not withstand a guest: he has the
 * key, and handles that collide only make his own filter worse. What they must do is spread handles
 * as guests make them, indices in a row above all, of which the product alone would make a pattern;
 * the rest, which loses nothing, ends that.
 */
static inline uint64_t tmem_filter_hash(
	const uint64_t key[TMEM_FILTER_KEY_WORDS], uint64_t object, uint32_t index)
{
	uint64_t hash = tmem_filter_fold(object, index ^ key[5]);

	hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
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
 * Whether a get of the page with @hash would miss: true only if at some moment of this call it
 * would have. @window is where the guest has mapped the window. False says nothing. A put that
 * returned before the call began, on whatever vCPU, is seen.
 */
static inline bool tmem_filter_surely_lacks(const void *window, uint64_t hash)
{
	const struct tmem_filter_header *header = (const struct tmem_filter_header *)window;
	struct tmem_filter_view view;

	return tmem_filter_find(header, hash, &view) &&
	       tmem_filter_line_lacks(
		       header, &view, (const uint64_t *)((const char *)window + view.offset), hash);
}

#endif
