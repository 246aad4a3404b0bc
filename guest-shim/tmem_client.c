/*
 * See tmem_client.h. The handle of a file page is (object 1, page of the data disk), that of an
 * anonymous page (object 2, page of the anonymous region); each pool has one object.
 */
#include "guest-shim/tmem_client.h"

#include <abi/cpuid.h>
#include <abi/errno.h>

#include "guest-shim/counters.h"
#include "guest-shim/flip.h"
#include "guest-shim/hypercall.h"
#include "guest-shim/miss_filter.h"
#include "guest-shim/panic.h"

#define OBJECT_DATA_DISK 1
#define OBJECT_ANONYMOUS 2

#define POOL_NONE (-1)

static s32 precache_pool = POOL_NONE;
static s32 preswap_pool = POOL_NONE;

static s32 pool_new(u32 flags)
{
	s64 pool = hypercall(HYPERCALL_TMEM_POOL_NEW, flags, 0, 0, 0, 0);

	/* No memory for even an empty pool: the guest goes on without. */
	if (pool == -SLUICE_ENOMEM)
		return POOL_NONE;
	if (pool < 0 || pool >= TMEM_POOLS_PER_GUEST)
		panic("tmem is offered, but a pool with flags %x is refused: %lld", (unsigned)flags,
			(long long)pool);
	return (s32)pool;
}

void tmem_client_init(bool precache, bool preswap, bool filter)
{
	if (!(hypercall_features() & SLUICE_FEATURE_TMEM))
		return;
	if (precache)
		precache_pool = pool_new(0);
	if (precache_is_on() && filter)
		miss_filter_open(precache_pool, OBJECT_DATA_DISK);
	if (preswap)
		preswap_pool = pool_new(TMEM_POOL_PERSISTENT);
}

bool precache_is_on(void)
{
	return precache_pool != POOL_NONE;
}

bool preswap_is_on(void)
{
	return preswap_pool != POOL_NONE;
}

static s64 page_call(u64 number, s32 pool, u64 object, u32 page, u32 frame)
{
	return hypercall(number, TMEM_HANDLE(pool, page), object, 0, 0, frame);
}

bool precache_get(u32 page, u32 frame)
{
	s64 result;

	if (!precache_is_on())
		return false;
	if (miss_filter_lacks(page)) {
		counters.precache_skipped++;
		return false;
	}
	result = page_call(flip_is_on() ? HYPERCALL_TMEM_GET_FLIP : HYPERCALL_TMEM_GET,
		precache_pool, OBJECT_DATA_DISK, page, frame);
	if (result != 0 && result != -SLUICE_ENOENT)
		panic("precache get of page %x into frame %x: %lld", (unsigned)page,
			(unsigned)frame, (long long)result);
	return result == 0;
}

bool preswap_put(u32 page, u32 frame)
{
	return preswap_is_on() &&
	       page_call(flip_is_on() ? HYPERCALL_TMEM_PUT_FLIP : HYPERCALL_TMEM_PUT, preswap_pool,
		       OBJECT_ANONYMOUS, page, frame) == 0;
}

void preswap_ask(u32 page, u32 frame)
{
	s64 result;

	if (!preswap_is_on())
		return;
	result = page_call(HYPERCALL_TMEM_GET, preswap_pool, OBJECT_ANONYMOUS, page, frame);
	if (result != -SLUICE_ENOENT)
		panic("preswap get of page %x, which is on the disk: %lld", (unsigned)page,
			(long long)result);
}

/* ---- Several calls in one exit -----------------------------------------------------------------
 */

static struct tmem_batch_entry batch[TMEM_BATCH_MAX] __aligned_to(64);
static u32 batched;

static void batch_add(u32 op, s32 pool, u64 object, u32 page, u32 frame)
{
	batch[batched++] = (struct tmem_batch_entry){
		.op = op,
		.handle = TMEM_HANDLE(pool, page),
		.object = {object, 0, 0},
		.gfn = frame,
	};
}

/* Makes all calls; what a batch does not come to is called for by itself. Flips go in no batch. */
static void batch_run(void)
{
	s64 done = 0;

	if (batched > 1 && batch[0].op != HYPERCALL_TMEM_PUT_FLIP &&
		hypercall_features() & SLUICE_FEATURE_TMEM_BATCH)
		done = hypercall(HYPERCALL_TMEM_BATCH, (u64)batch, batched, 0, 0, 0);
	if (done < 0)
		panic("a batch of %u tmem calls: %lld", (unsigned)batched, (long long)done);
	for (u32 i = (u32)done; i < batched; i++)
		batch[i].result = (s32)page_call(batch[i].op, (s32)(u32)batch[i].handle,
			batch[i].object[0], (u32)(batch[i].handle >> 32), (u32)batch[i].gfn);
}

/* Gets and flushes of preswap, none of which may fail. */
static void preswap_run(void)
{
	batch_run();
	for (u32 i = 0; i < batched; i++)
		if (batch[i].result != 0)
			panic("preswap %s page %x: %d",
				batch[i].op == HYPERCALL_TMEM_GET ? "lost" : "flush of",
				(unsigned)(batch[i].handle >> 32), (int)batch[i].result);
	batched = 0;
}

void preswap_get(u32 page, u32 frame)
{
	batch_add(HYPERCALL_TMEM_GET, preswap_pool, OBJECT_ANONYMOUS, page, frame);
	batch_add(HYPERCALL_TMEM_FLUSH_PAGE, preswap_pool, OBJECT_ANONYMOUS, page, 0);
	preswap_run();
}

void preswap_flush_soon(u32 page)
{
	batch_add(HYPERCALL_TMEM_FLUSH_PAGE, preswap_pool, OBJECT_ANONYMOUS, page, 0);
	if (batched == TMEM_BATCH_MAX)
		preswap_run();
}

void preswap_flush_now(void)
{
	preswap_run();
}

void precache_put_soon(u32 page, u32 frame)
{
	if (batched == TMEM_BATCH_MAX)
		panic("more than %u pages leave at once", (unsigned)batched);
	batch_add(flip_is_on() ? HYPERCALL_TMEM_PUT_FLIP : HYPERCALL_TMEM_PUT, precache_pool,
		OBJECT_DATA_DISK, page, frame);
}

u32 precache_puts_pending(void)
{
	return batched;
}

void precache_put_now(void (*left)(u32 frame, bool stored))
{
	batch_run();
	for (u32 i = 0; i < batched; i++)
		left((u32)batch[i].gfn, batch[i].result == 0);
	batched = 0;
}
