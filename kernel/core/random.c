/*
 * See random.h. LOCK_RANDOM guards the machine's generator; every other one is guarded by its
 * owner. Nothing here depends on time but the seeds.
 */
#include "kernel/core/random.h"

#include "arch/x86/arch.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"
#include <string.h>

/* How much a generator gives before its key gets new entropy: what leaked of it once is worth no
 * more than that. */
#define SEED_EVERY KIB(64)

/* How often the machine's generator is stirred at boot where timing is all there is: some hundred
 * thousand reads of memory, of which one in many is no copy of the one before. */
#define POOR_STIRS 1024u

static struct random machine;
static struct spinlock lock = SPINLOCK(LOCK_RANDOM);

/* Leaves nothing of a key on the stack. */
static void wipe(void *what, u64 bytes)
{
	memset(what, 0, bytes);
	__asm__ volatile("" : : "r"(what) : "memory");
}

/* The new key is a function of both that cannot be undone. */
static void mix(struct random *random, const u32 seed[CHACHA20_KEY_WORDS])
{
	struct chacha20 stream = {0};
	u32 block[CHACHA20_BLOCK_WORDS];

	for (unsigned i = 0; i < CHACHA20_KEY_WORDS; i++)
		stream.key[i] = random->key[i] ^ seed[i];
	chacha20_block(&stream, block);
	memcpy(random->key, block, sizeof(random->key));
	random->left = SEED_EVERY;
	wipe(&stream, sizeof(stream));
	wipe(block, sizeof(block));
}

/* The first half of the first block becomes the next key; what follows goes out. */
static void generate(struct random *random, void *to, u64 bytes)
{
	struct chacha20 stream = {0};
	u32 block[CHACHA20_BLOCK_WORDS];
	u64 used = sizeof(random->key);
	u8 *out = to;

	memcpy(stream.key, random->key, sizeof(random->key));
	chacha20_block(&stream, block);
	memcpy(random->key, block, sizeof(random->key));
	while (bytes > 0) {
		u64 part;

		if (used == sizeof(block)) {
			stream.counter++;
			chacha20_block(&stream, block);
			used = 0;
		}
		part = MIN(bytes, sizeof(block) - used);
		memcpy(out, (const u8 *)block + used, part);
		used += part;
		out += part;
		bytes -= part;
	}
	wipe(&stream, sizeof(stream));
	wipe(block, sizeof(block));
}

/* 256 bits of the processor's into the machine's generator, whose lock is held. False if they are
 * from timing alone. */
static bool stir(void)
{
	u64 words[4];
	bool good = true;

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		good &= arch_entropy(&words[i]);
	mix(&machine, (const u32 *)words);
	wipe(words, sizeof(words));
	return good;
}

/* Of the machine's, which is stirred where it is time. */
static void take(void *to, u64 bytes)
{
	spin_lock(&lock);
	if (machine.left < bytes)
		(void)stir(); /* random_start() said what it is worth */
	machine.left -= bytes;
	generate(&machine, to, bytes);
	spin_unlock(&lock);
}

__init void random_start(void)
{
	bool good;

	spin_lock(&lock);
	good = stir();
	for (unsigned i = 0; i < POOR_STIRS && !good; i++)
		(void)stir();
	spin_unlock(&lock);
	if (!good)
		log_warn("cpu: neither RDSEED nor RDRAND: keys, and what guests get as random, "
			 "come from how long reads of memory take, and the time of day");
}

void random_words(u64 *words, u64 count)
{
	take(words, count * sizeof(*words));
}

void random_seed(struct random *random)
{
	u32 seed[CHACHA20_KEY_WORDS];

	take(seed, sizeof(seed));
	mix(random, seed);
	wipe(seed, sizeof(seed));
}

void random_bytes(struct random *random, void *to, u64 bytes)
{
	if (random->left < bytes)
		random_seed(random);
	random->left -= MIN(random->left, bytes);
	generate(random, to, bytes);
}
