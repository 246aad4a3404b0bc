/*
 * What the tmem engine needs of the hypervisor (tmem/port.h): frames of class tmem, ticket locks
 * with the kernel's ranks, page copies, the compressor, random keys.
 */
#include "kernel/vm/tmem_port.h"

#include <stdarg.h>
#include <stdio.h>

#include <abi/errno.h>

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"
#include "kernel/core/percpu.h"
#include "kernel/core/random.h"
#include "kernel/vm/commit.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory.h"
#include "tmem/port.h"

_Static_assert(TMEM_PORT_BLOCK == BLOCK_ORDER, "a block is 2 MiB on both sides");
_Static_assert(sizeof(struct tmem_lock) >= sizeof(struct spinlock) &&
		       _Alignof(struct tmem_lock) >= _Alignof(struct spinlock),
	"a kernel lock must fit in the engine's");

static struct spinlock *spinlock_of(struct tmem_lock *lock)
{
	return (struct spinlock *)lock;
}

void tmem_port_lock_init(struct tmem_lock *lock, enum tmem_lock_rank rank)
{
	static const u8 ranks[] = {
		[TMEM_LOCK_SHARERS] = LOCK_TMEM_SHARERS,
		[TMEM_LOCK_CLIENT] = LOCK_TMEM_CLIENT,
		[TMEM_LOCK_GROUP] = LOCK_TMEM_GROUP,
		[TMEM_LOCK_ARENA] = LOCK_TMEM_ARENA,
	};

	spin_lock_init(spinlock_of(lock), (enum lock_rank)ranks[rank]);
}

void tmem_port_lock(struct tmem_lock *lock)
{
	spin_lock(spinlock_of(lock));
}

void tmem_port_unlock(struct tmem_lock *lock)
{
	spin_unlock(spinlock_of(lock));
}

void *tmem_port_alloc(unsigned order)
{
	mfn_t first = pool_frame_alloc(order);

	return mfn_is_none(first) ? NULL : mfn_to_ptr(first);
}

void tmem_port_free(void *pages, unsigned order)
{
	frame_free(ptr_to_mfn(pages), order);
}

void tmem_port_free_later(void *page)
{
	limbo_add(ptr_to_mfn(page), 0, FRAME_TMEM, epoch_advance());
}

bool tmem_port_persistent_ok(u64 held)
{
	return commit_leaves_room(held + 1);
}

void tmem_port_copy(void *to, const void *from)
{
	arch_copy_page(to, from);
}

void tmem_port_copy_away(void *to, const void *from)
{
	arch_copy_page_away(to, from);
}

/* ---- Compression -------------------------------------------------------------------- */

struct compression {
	struct tmem_scratch scratch;
	u8 state[ARCH_COMPRESSOR_BYTES] __aligned_to(64);
};

static struct compression *compressions[MAX_CPUS];

__init int tmem_port_start_compression(void)
{
	const u64 pages = ROUND_UP(sizeof(struct compression), PAGE_SIZE) / PAGE_SIZE;

	for (unsigned i = 0; i < arch_cpu_count(); i++) {
		if (compressions[i])
			continue;
		compressions[i] = hypervisor_alloc_pages(pages, 0);
		if (!compressions[i]) {
			log_error("tmem: no memory to compress pages on CPU %u", i);
			return -SLUICE_ENOMEM;
		}
	}
	return 0;
}

struct tmem_scratch *tmem_port_scratch(void)
{
	return &compressions[this_cpu()->index]->scratch;
}

u32 tmem_port_compress(void *to, const void *page, u32 capacity)
{
	return arch_compress_page(to, capacity, page, compressions[this_cpu()->index]->state);
}

int tmem_port_decompress(void *page, const void *from, u32 length)
{
	return arch_decompress_page(page, from, length);
}

void tmem_port_random(u64 *words, u64 count)
{
	random_words(words, count);
}

COLD void tmem_port_complain(const char *format, ...)
{
	char line[160];
	va_list arguments;

	va_start(arguments, format);
	vsniprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	log_error("audit: tmem: %s", line);
}
