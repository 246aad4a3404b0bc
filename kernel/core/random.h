/*
 * Random bytes: generators of ChaCha20 whose key is replaced at each use ("fast key erasure", D. J.
 * Bernstein, 2017), so that what a generator gave before cannot be told from what it holds now. The
 * machine has one, seeded with what arch_entropy() gives; whoever must not be guessed from
 * another's output has its own, seeded by that one.
 */
#ifndef CORE_RANDOM_H
#define CORE_RANDOM_H

#include "lib/chacha20.h"
#include "lib/types.h"

struct random {
	u32 key[CHACHA20_KEY_WORDS];
	u64 left; /* bytes until it is to be seeded anew */
};

/* Seeds the machine's generator, and says so if the processor has none of its own. Once, on the
 * boot CPU. */
void random_start(void);

/* @count words (of 64 KiB at most) of the machine's generator: cheaper than one by one, since each
 * call replaces its key. Any CPU; takes LOCK_RANDOM. */
void random_words(u64 *words, u64 count);

/* Adds 256 bits of the machine's generator to the key of @random. Its owner's, takes LOCK_RANDOM.
 */
void random_seed(struct random *random);

/* @bytes (less than 256 GiB) random bytes of @random, which is seeded where it is time: at its
 * first use, all zeros before, and from then on. Its owner's; may take LOCK_RANDOM. */
void random_bytes(struct random *random, void *to, u64 bytes);

#endif
