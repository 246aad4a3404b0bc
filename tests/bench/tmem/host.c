/*
 * The port of the tmem engine for measuring (tests/bench/tmem/host.h): blocks and pages from two
 * stacks, a test-and-set lock, the hypervisor's copy.
 */
#include "tests/bench/tmem/host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tmem/port.h"

bool bench_counting;
bool bench_moving = true;

struct free_pages {
	struct free_pages *next;
};

static struct free_pages *blocks, *pages;

void *bench_memory(u64 count)
{
	u64 bytes = ROUND_UP(count * PAGE_SIZE, BLOCK_SIZE);
	u8 *memory = mmap(NULL, bytes + BLOCK_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED) {
		perror("bench-tmem: mmap");
		exit(1);
	}
	memory += -(uintptr_t)memory & (BLOCK_SIZE - 1);
	madvise(memory, bytes, MADV_HUGEPAGE);
	if (!bench_counting)
		memset(memory, 0x11, bytes);
	return memory;
}

void bench_store_memory(u64 count)
{
	u8 *memory = bench_memory(count);

	for (u64 block = count / BLOCK_PAGES; block-- > 0;) {
		struct free_pages *free_block = (void *)(memory + block * BLOCK_SIZE);

		free_block->next = blocks;
		blocks = free_block;
	}
}

static void *pop(struct free_pages **stack)
{
	struct free_pages *top = *stack;

	if (top)
		*stack = top->next;
	return top;
}

static void push(struct free_pages **stack, void *item)
{
	struct free_pages *top = item;

	top->next = *stack;
	*stack = top;
}

void *tmem_port_alloc(unsigned order)
{
	u8 *block;

	if (order)
		return pop(&blocks);
	if (!pages && (block = pop(&blocks)) != NULL)
		for (u32 i = BLOCK_PAGES; i-- > 0;)
			push(&pages, block + i * PAGE_SIZE);
	return pop(&pages);
}

void tmem_port_free(void *freed, unsigned order)
{
	push(order ? &blocks : &pages, freed);
}

/* As the hypervisor's C library does it; callgrind counts each step of a string instruction. */
void *memset(void *to, int value, size_t count)
{
	u8 *byte = to;
	u64 words = count / 8;

	__asm__ volatile("rep stosq"
			 : "+D"(byte), "+c"(words)
			 : "a"((u8)value * 0x0101010101010101UL)
			 : "memory");
	for (count %= 8; count; count--)
		*byte++ = (u8)value;
	return to;
}

void tmem_port_free_later(void *page)
{
	tmem_port_free(page, 0);
}

bool tmem_port_persistent_ok(u64 persistent_pages)
{
	(void)persistent_pages;
	return true;
}

static __attribute__((noinline)) void bench_uncounted_copy(void *to, const void *from)
{
	arch_copy_page(to, from);
	__asm__ volatile("" : : : "memory"); /* no jump out of the function that is left out */
}

static __attribute__((noinline)) void bench_uncounted_copy_away(void *to, const void *from)
{
	arch_copy_page_away(to, from);
	__asm__ volatile("" : : : "memory");
}

/* Timed as the hypervisor has it, by a jump. */
void tmem_port_copy(void *to, const void *from)
{
	if (!bench_moving)
		return;
	if (bench_counting)
		bench_uncounted_copy(to, from);
	else
		arch_copy_page(to, from);
}

void tmem_port_copy_away(void *to, const void *from)
{
	if (!bench_moving)
		return;
	if (bench_counting)
		bench_uncounted_copy_away(to, from);
	else
		arch_copy_page_away(to, from);
}

void tmem_port_lock_init(struct tmem_lock *lock, enum tmem_lock_rank rank)
{
	lock->word = 0;
	lock->rank = rank;
}

void tmem_port_lock(struct tmem_lock *lock)
{
	while (__atomic_exchange_n(&lock->word, 1, __ATOMIC_ACQUIRE))
		while (READ_ONCE(lock->word))
			__builtin_ia32_pause();
}

void tmem_port_unlock(struct tmem_lock *lock)
{
	__atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
}

void tmem_port_random(u64 *words, u64 count)
{
	static u64 state = 1;

	for (u64 i = 0; i < count; i++) {
		state = state * 6364136223846793005UL + 1442695040888963407UL;
		words[i] = state ^ state >> 29;
	}
}

void tmem_port_complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}
