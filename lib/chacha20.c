/* See chacha20.h. */
#include "lib/chacha20.h"

#include <string.h>

#define DOUBLE_ROUNDS 10

/* "expand 32-byte k" */
static const u32 constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

static u32 rotate(u32 x, unsigned bits)
{
	return x << bits | x >> (32 - bits);
}

static void quarter_round(u32 *x, unsigned a, unsigned b, unsigned c, unsigned d)
{
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 7);
}

void chacha20_block(const struct chacha20 *in, u32 block[CHACHA20_BLOCK_WORDS])
{
	/* The key is nowhere but in @in and, mixed, in @block: no copy stays on the stack. */
	const u32 *words = in->key;

	memcpy(block, constants, sizeof(constants));
	memcpy(block + 4, words, sizeof(*in));
	for (unsigned round = 0; round < DOUBLE_ROUNDS; round++) {
		for (unsigned i = 0; i < 4; i++)
			quarter_round(block, i, 4 + i, 8 + i, 12 + i);
		for (unsigned i = 0; i < 4; i++)
			quarter_round(block, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
	}
	for (unsigned i = 0; i < CHACHA20_BLOCK_WORDS; i++)
		block[i] += i < 4 ? constants[i] : words[i - 4];
}
_Static_assert(sizeof(struct chacha20) == 12 * sizeof(u32), "it is the state behind the constants");
