/*
 * What newlib's formatting and LZ4 want from below. The hypervisor has no heap: hypervisor_alloc()
 * hands out pages. vsniprintf() never allocates; the calls are there for streams that grow, so
 * reaching one of them is a bug.
 */
#include "kernel/core/bug.h"
#include "lib/types.h"

struct _reent;

void *_malloc_r(struct _reent *reent, size_t bytes);
void *_calloc_r(struct _reent *reent, size_t count, size_t bytes);
void *_realloc_r(struct _reent *reent, void *old, size_t bytes);
void _free_r(struct _reent *reent, void *memory);
__attribute__((noreturn)) void __stack_chk_fail(void);

void *_malloc_r(struct _reent *reent, size_t bytes)
{
	(void)reent;
	BUG("the C library asked for %lu bytes of heap", bytes);
}

void *_calloc_r(struct _reent *reent, size_t count, size_t bytes)
{
	(void)reent;
	BUG("the C library asked for %lu times %lu bytes of heap", count, bytes);
}

void *_realloc_r(struct _reent *reent, void *old, size_t bytes)
{
	(void)reent;
	BUG("the C library asked to resize %p to %lu bytes", old, bytes);
}

void _free_r(struct _reent *reent, void *memory)
{
	(void)reent;
	if (memory != NULL)
		BUG("the C library frees %p, which nobody allocated", memory);
}

/* Debian's LZ4 guards its stack frames; the canary is at FS base + 0x28 (arch/x86/cpu.h). */
void __stack_chk_fail(void)
{
	BUG("a library function wrote beyond its stack frame");
}
