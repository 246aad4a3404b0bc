/*
 * The port of the tmem engine for hosted tests (tests/unit/tmem_host/port.h). Frames that are not
 * handed out are poisoned for AddressSanitizer, so that any use after they were given back is
 * caught.
 */
#include "tests/unit/tmem_host/port.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* as GCC says it */
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

u64 host_allocations_until_failure = ~0UL;
bool host_blocks_available = true;
u64 host_pages_max = ~0UL;
u64 host_persistent_max = ~0UL;
u64 host_complaints;
char host_last_complaint[256];
void (*host_sampled_hook)(void *owner, enum tmem_event event, const struct tmem_sample *sample);
void (*host_copy_hook)(void *to, const void *from);
void (*host_unlock_hook)(void);

static u8 *memory;
static u64 memory_pages;
static u8 *in_use;     /* a byte a page */
static u16 *block_use; /* pages in use in each block */
static u64 pages_in_use;
static u64 hint; /* no block below has a free page and another in use */
static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what)
{
	fprintf(stderr, "tmem host: %s\n", what);
	abort();
}

void host_memory_exit(void)
{
	if (!memory)
		return;
	ASAN_UNPOISON_MEMORY_REGION(memory, memory_pages * PAGE_SIZE);
	munmap(memory, memory_pages * PAGE_SIZE);
	free(in_use);
	free(block_use);
	memory = NULL;
}

bool host_frees_are_deferred;
static void **deferred;
static u64 deferred_count;

void host_memory_init(u64 pages)
{
	u64 bytes = pages * PAGE_SIZE + BLOCK_SIZE;
	u8 *raw;
	u64 lead;

	host_memory_exit();
	raw = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1, 0);
	if (raw == MAP_FAILED || pages % BLOCK_PAGES)
		die("no memory");
	lead = -(uintptr_t)raw & (BLOCK_SIZE - 1);
	if (lead)
		munmap(raw, lead);
	if (BLOCK_SIZE - lead)
		munmap(raw + lead + pages * PAGE_SIZE, BLOCK_SIZE - lead);
	memory = raw + lead;
	madvise(memory, pages * PAGE_SIZE, MADV_HUGEPAGE);
	memory_pages = pages;
	in_use = calloc(pages, 1);
	block_use = calloc(pages / BLOCK_PAGES, sizeof(*block_use));
	if (!in_use || !block_use)
		die("no memory");
	ASAN_POISON_MEMORY_REGION(memory, pages * PAGE_SIZE);
	pages_in_use = 0;
	hint = 0;
	host_allocations_until_failure = ~0UL;
	host_blocks_available = true;
	host_pages_max = ~0UL;
	host_persistent_max = ~0UL;
	host_complaints = 0;
	host_copy_hook = NULL;
	host_unlock_hook = NULL;
	host_sampled_hook = NULL;
	host_frees_are_deferred = false;
}

u64 host_pages_in_use(void)
{
	return pages_in_use;
}

bool host_page_is_in_use(const void *page)
{
	u64 number = (u64)((const u8 *)page - memory) / PAGE_SIZE;

	return number < memory_pages && in_use[number];
}

static void *hand_out(u64 first, u64 count)
{
	for (u64 i = first; i < first + count; i++) {
		if (in_use[i])
			die("a page is handed out twice");
		in_use[i] = 1;
	}
	block_use[first / BLOCK_PAGES] = (u16)(block_use[first / BLOCK_PAGES] + count);
	pages_in_use += count;
	ASAN_UNPOISON_MEMORY_REGION(memory + first * PAGE_SIZE, count * PAGE_SIZE);
	return memory + first * PAGE_SIZE;
}

static void *alloc_block(void)
{
	for (u64 block = 0; host_blocks_available && block < memory_pages / BLOCK_PAGES; block++)
		if (!block_use[block])
			return hand_out(block * BLOCK_PAGES, BLOCK_PAGES);
	return NULL;
}

/* From the lowest block that is broken already, else from the lowest that is whole. */
static void *alloc_page(void)
{
	u64 whole = ~0UL;

	for (u64 block = hint; block < memory_pages / BLOCK_PAGES; block++) {
		if (block_use[block] == BLOCK_PAGES) {
			if (block == hint)
				hint++;
			continue;
		}
		if (!block_use[block]) {
			whole = MIN(whole, block);
			continue;
		}
		for (u64 i = block * BLOCK_PAGES;; i++)
			if (!in_use[i])
				return hand_out(i, 1);
	}
	return whole == ~0UL ? NULL : hand_out(whole * BLOCK_PAGES, 1);
}

void *tmem_port_alloc(unsigned order)
{
	void *pages = NULL;

	if (order != 0 && order != TMEM_PORT_BLOCK)
		die("allocation of an order that the port does not have");
	pthread_mutex_lock(&memory_lock);
	if (host_allocations_until_failure == 0)
		host_allocations_until_failure = ~0UL;
	else if (pages_in_use + (1UL << order) <= host_pages_max) {
		if (host_allocations_until_failure != ~0UL)
			host_allocations_until_failure--;
		pages = order ? alloc_block() : alloc_page();
	}
	pthread_mutex_unlock(&memory_lock);
	return pages;
}

void tmem_port_free(void *pages, unsigned order)
{
	u64 first = (u64)((u8 *)pages - memory) / PAGE_SIZE;
	u64 count = 1UL << order;

	if (first + count > memory_pages || (uintptr_t)pages % (PAGE_SIZE << order))
		die("freeing what is no page");
	pthread_mutex_lock(&memory_lock);
	for (u64 i = first; i < first + count; i++) {
		if (!in_use[i])
			die("a page is freed twice");
		in_use[i] = 0;
	}
	block_use[first / BLOCK_PAGES] = (u16)(block_use[first / BLOCK_PAGES] - count);
	hint = MIN(hint, first / BLOCK_PAGES);
	pages_in_use -= count;
	ASAN_POISON_MEMORY_REGION(pages, count * PAGE_SIZE);
	pthread_mutex_unlock(&memory_lock);
}

void tmem_port_free_later(void *page)
{
	if (!host_frees_are_deferred) {
		tmem_port_free(page, 0);
		return;
	}
	pthread_mutex_lock(&memory_lock);
	deferred = realloc(deferred, (deferred_count + 1) * sizeof(*deferred));
	if (!deferred)
		die("no memory");
	deferred[deferred_count++] = page;
	pthread_mutex_unlock(&memory_lock);
}

void host_free_deferred(void)
{
	for (u64 i = 0; i < deferred_count; i++)
		tmem_port_free(deferred[i], 0);
	free(deferred);
	deferred = NULL;
	deferred_count = 0;
}

bool tmem_port_persistent_ok(u64 persistent_pages)
{
	return persistent_pages < host_persistent_max;
}

void tmem_port_copy(void *to, const void *from)
{
	if (host_copy_hook)
		host_copy_hook(to, from);
	memcpy(to, from, PAGE_SIZE);
}

void tmem_port_copy_away(void *to, const void *from)
{
	tmem_port_copy(to, from);
}

/* ---- Locks: a word, and a check that no thread takes them in a wrong order ---------- */

static __thread unsigned held; /* bit n: a lock of rank n */

void tmem_port_lock_init(struct tmem_lock *lock, enum tmem_lock_rank rank)
{
	lock->word = 0;
	lock->rank = rank;
}

void tmem_port_lock(struct tmem_lock *lock)
{
	if (held >> lock->rank)
		die("locks taken in a wrong order");
	held |= 1U << lock->rank;
	while (__atomic_exchange_n(&lock->word, 1, __ATOMIC_ACQUIRE))
		sched_yield();
}

void tmem_port_unlock(struct tmem_lock *lock)
{
	if (!(held >> lock->rank & 1))
		die("a lock released that is not held");
	held &= ~(1U << lock->rank);
	__atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
	if (host_unlock_hook && lock->rank == TMEM_LOCK_CLIENT)
		host_unlock_hook();
}

/* ---- The rest ----------------------------------------------------------------------- */

void tmem_port_random(u64 *words, u64 count)
{
	static u64 state = 0x853c49e6748fea9bUL;
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	for (u64 i = 0; i < count; i++)
		words[i] = host_random(&state);
	pthread_mutex_unlock(&lock);
}

void tmem_port_sampled(void *owner, enum tmem_event event, const struct tmem_sample *sample)
{
	if (host_sampled_hook)
		host_sampled_hook(owner, event, sample);
}

void tmem_port_complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(host_last_complaint, sizeof(host_last_complaint), format, arguments);
	va_end(arguments);
	if (!host_complaints++)
		fprintf(stderr, "complaint: %s\n", host_last_complaint);
}

u64 host_random(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15UL;

	/* SplitMix64 (S. Vigna, public domain). */
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

static u64 word_of_page(u64 seed, u64 i)
{
	const u64 factor = 0x9e3779b97f4a7c15UL;

	switch (seed >> HOST_KIND_SHIFT) {
	case HOST_PAGE_FILLED:
		return (seed & 3) * factor;
	case HOST_PAGE_REPEATED:
		return ((seed & 7) + i) * factor;
	case HOST_PAGE_COMPRESSIBLE:
		return i % 4 ? (seed & 0xff) : (seed + i) * factor;
	default:
		return (seed + i) * factor;
	}
}

void host_fill_page(void *page, u64 seed)
{
	u64 *words = page;

	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		words[i] = word_of_page(seed, i);
}

bool host_page_holds(const void *page, u64 seed)
{
	const u64 *words = page;
	u64 difference = 0;

	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		difference |= words[i] ^ word_of_page(seed, i);
	return difference == 0;
}
