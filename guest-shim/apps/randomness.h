/*
 * Repeatable randomness: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
 * generators", 2014) and ranks with a Zipf distribution.
 */
#ifndef APPS_RANDOMNESS_H
#define APPS_RANDOMNESS_H

#include <stdint.h>

struct randomness {
	uint64_t state;
};

static inline uint64_t random_word(struct randomness *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Uniform in 0..@bound-1, without bias worth speaking of for bounds below 2^32. */
static inline uint32_t random_below(struct randomness *r, uint32_t bound)
{
	return (uint32_t)((random_word(r) >> 32) * bound >> 32);
}

/*
 * Ranks 0..@count-1 where rank k has a probability in proportion to 1/(k+1). The cumulative weights
 * are kept as integers, so that host and guest agree to the last bit.
 */
struct zipf {
	uint32_t count;
	uint64_t *cumulative;
};

/* @cumulative has room for @count words and stays the caller's. */
void zipf_init(struct zipf *zipf, uint64_t *cumulative, uint32_t count);
uint32_t zipf_rank(const struct zipf *zipf, struct randomness *r);

#endif
