/*
 * Zipf ranks by binary search in integer cumulative weights.
 */
#include "randomness.h"

#define WEIGHT_OF_FIRST (1ull << 32)

void zipf_init(struct zipf *zipf, uint64_t *cumulative, uint32_t count)
{
	uint64_t sum = 0;

	for (uint32_t k = 0; k < count; k++) {
		sum += WEIGHT_OF_FIRST / (k + 1);
		cumulative[k] = sum;
	}
	zipf->count = count;
	zipf->cumulative = cumulative;
}

uint32_t zipf_rank(const struct zipf *zipf, struct randomness *r)
{
	uint64_t point = random_word(r) % zipf->cumulative[zipf->count - 1];
	uint32_t low = 0;
	uint32_t high = zipf->count - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (zipf->cumulative[middle] > point)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}
