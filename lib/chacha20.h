/*
 * The ChaCha20 block function (RFC 8439, 2.3): a key, a counter and a nonce become 64 bytes that
 * nobody without the key can tell from random ones. Pure.
 */
#ifndef LIB_CHACHA20_H
#define LIB_CHACHA20_H

#include "lib/types.h"

#define CHACHA20_KEY_WORDS   8u
#define CHACHA20_BLOCK_WORDS 16u

struct chacha20 {
	u32 key[CHACHA20_KEY_WORDS];
	u32 counter;
	u32 nonce[3];
};

/* Block @in->counter of the key stream, as little-endian words. */
void chacha20_block(const struct chacha20 *in, u32 block[CHACHA20_BLOCK_WORDS]);

#endif
