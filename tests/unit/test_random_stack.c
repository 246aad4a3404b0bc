/*
 * What random.c and chacha20.c leave on the stack: the hypervisor's own objects run on a stack that
 * was painted before, and no word of a key, a seed or a block is found on it afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/arch.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"
#include "kernel/core/random.h"

#define PAINT 0x5a5a5a5au

static u32 stack[2048] __attribute__((aligned(64)));
static u32 secrets[4096];
static unsigned secret_count;
static u8 out[4096];
static u64 entropy;

/* ---- What the objects need ---------------------------------------------------------------------
 */

bool arch_entropy(u64 *word)
{
	entropy = entropy * 6364136223846793005 + 1442695040888963407;
	*word = entropy;
	return true;
}

void spin_lock(struct spinlock *lock)
{
	lock->next++;
}

void spin_unlock(struct spinlock *lock)
{
	lock->serving++;
}

void log_line(int level, const char *format, ...)
{
	(void)level;
	(void)format;
}

/* ---- Secrets -----------------------------------------------------------------------------------
 */

static void is_secret(const u32 *words, unsigned count)
{
	assert_true(secret_count + count <= ARRAY_SIZE(secrets));
	for (unsigned i = 0; i < count; i++)
		if (words[i] != 0) /* the key before the first seed */
			secrets[secret_count++] = words[i];
}

/* The block at @counter of the stream of @key, a secret as a whole. */
static void block_of(const u32 *key, u32 counter, u32 *block)
{
	struct chacha20 in = {.counter = counter};

	memcpy(in.key, key, sizeof(in.key));
	chacha20_block(&in, block);
	is_secret(key, CHACHA20_KEY_WORDS);
	is_secret(block, CHACHA20_BLOCK_WORDS);
}

/* random.c's way of adding @seed to @key. */
static void mixed(u32 *key, const u32 *seed)
{
	u32 block[CHACHA20_BLOCK_WORDS];

	is_secret(seed, CHACHA20_KEY_WORDS);
	is_secret(key, CHACHA20_KEY_WORDS);
	for (unsigned i = 0; i < CHACHA20_KEY_WORDS; i++)
		key[i] ^= seed[i];
	block_of(key, 0, block);
	memcpy(key, block, CHACHA20_KEY_WORDS * sizeof(u32));
}

/* ---- The stack ---------------------------------------------------------------------------------
 */

static void paint(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(stack); i++)
		stack[i] = PAINT;
}

/* @function(@a, @b, @c) on the painted stack. */
static void on_painted(u64 function, void *a, const void *b, u64 c)
{
	paint();
	__asm__ volatile("mov %%rsp, %%rbx\n\t"
			 "mov %[top], %%rsp\n\t"
			 "call *%[function]\n\t"
			 "mov %%rbx, %%rsp"
			 : "+D"(a), "+S"(b), "+d"(c)
			 : [top] "r"(stack + ARRAY_SIZE(stack)), [function] "r"(function)
			 : "rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0",
			 "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
			 "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static bool holds(const void *at, const u32 *words, unsigned count)
{
	u32 word;

	memcpy(&word, at, sizeof(word));
	for (unsigned i = 0; i < count; i++)
		if (word == words[i])
			return true;
	return false;
}

/* At any byte, not only at multiples of four. */
static unsigned found(const u32 *words, unsigned count)
{
	unsigned hits = 0;

	for (u64 at = 0; at + sizeof(u32) <= sizeof(stack); at++)
		hits += holds((const u8 *)stack + at, words, count);
	return hits;
}

static void nothing_stays(void)
{
	unsigned used = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(stack); i++)
		used += stack[i] != PAINT;
	assert_in_range(used, 40, ARRAY_SIZE(stack) / 2);
	assert_true(secret_count > 0);
	assert_int_equal(found(secrets, secret_count), 0);
}

/* ---- Tests -------------------------------------------------------------------------------------
 */

static int setup(void **state)
{
	(void)state;
	secret_count = 0;
	return 0;
}

static void the_block_function(void **state)
{
	struct chacha20 in = {.key = {0x10203040, 0x50607080, 3, 5, 7, 0x90a0b0c0, 11, 13}};
	u32 block[CHACHA20_BLOCK_WORDS];

	(void)state;
	for (unsigned i = 0; i < CHACHA20_KEY_WORDS; i++)
		in.key[i] *= 0x9e3779b1;
	block_of(in.key, 0, block);
	on_painted((u64)chacha20_block, &in, out, 0);
	assert_memory_equal(out, block, sizeof(block));
	/* Little is used, and none of it for secrets. */
	assert_int_equal(found(secrets, secret_count), 0);
}

static void bytes_that_come_out(void **state)
{
	static const u64 lengths[] = {1, 32, 33, 96, 97, 1000, sizeof(out)};
	u32 block[CHACHA20_BLOCK_WORDS];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct random random = {.left = KIB(64)};

		secret_count = 0;
		for (unsigned k = 0; k < CHACHA20_KEY_WORDS; k++)
			random.key[k] = (k + 8 * i + 1) * 0x9e3779b1;
		for (u32 at = 0; 64UL * at < lengths[i] + 32; at++)
			block_of(random.key, at, block);
		on_painted((u64)random_bytes, &random, out, lengths[i]);
		is_secret(random.key, CHACHA20_KEY_WORDS);
		nothing_stays();
	}
}

/* The machine's generator is stirred, and gives the seed of another. */
static void seeds(void **state)
{
	u32 machine[CHACHA20_KEY_WORDS] = {0}, block[CHACHA20_BLOCK_WORDS];
	u32 expected[CHACHA20_KEY_WORDS];
	struct random random = {.key = {0}};
	u64 words[4], start;

	(void)state;
	for (unsigned i = 0; i < CHACHA20_KEY_WORDS; i++)
		random.key[i] = expected[i] = (i + 100) * 0x9e3779b1;
	start = entropy = 0x1234567890abcdef;
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		(void)arch_entropy(&words[i]);
	entropy = start;
	mixed(machine, (const u32 *)words);
	on_painted((u64)random_start, NULL, NULL, 0);
	nothing_stays();

	block_of(machine, 0, block);
	mixed(expected, block + CHACHA20_KEY_WORDS);
	on_painted((u64)random_seed, &random, NULL, 0);
	assert_memory_equal(random.key, expected, sizeof(expected));
	nothing_stays();
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup(function, setup)
	const struct CMUnitTest tests[] = {
		TEST(the_block_function),
		TEST(bytes_that_come_out),
		TEST(seeds),
	};

	return cmocka_run_group_tests_name("random_stack", tests, NULL, NULL);
}
