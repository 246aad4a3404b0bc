/*
 * See tmem_client.h. The handle of a file page is (object 1, page of the data disk), that of an
 * anonymous page (object 2, page of the anonymous region); each pool has one object.
 */
#include "guest-shim/tmem_client.h"

#include <abi/cpuid.h>
#include <abi/errno.h>

#include "guest-shim/hypercall.h"
#include "guest-shim/panic.h"

#define OBJECT_DATA_DISK 1
#define OBJECT_ANONYMOUS 2

#define POOL_NONE (-1)

static s32 precache_pool = POOL_NONE;
static s32 preswap_pool = POOL_NONE;

static s32 pool_new(u32 flags)
{
	s64 pool = hypercall(HYPERCALL_TMEM_POOL_NEW, flags, 0, 0, 0, 0);

	if (pool < 0 || pool >= TMEM_POOLS_PER_GUEST)
		panic("tmem is offered, but a pool with flags %x is refused: %lld", (unsigned)flags,
			(long long)pool);
	return (s32)pool;
}

void tmem_client_init(bool precache, bool preswap)
{
	if (!(hypercall_features() & SLUICE_FEATURE_TMEM))
		return;
	if (precache)
		precache_pool = pool_new(0);
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

bool precache_put(u32 page, u32 frame)
{
	return precache_is_on() &&
	       page_call(HYPERCALL_TMEM_PUT, precache_pool, OBJECT_DATA_DISK, page, frame) == 0;
}

bool precache_get(u32 page, u32 frame)
{
	s64 result;

	if (!precache_is_on())
		return false;
	result = page_call(HYPERCALL_TMEM_GET, precache_pool, OBJECT_DATA_DISK, page, frame);
	if (result != 0 && result != -SLUICE_ENOENT)
		panic("precache get of page %x into frame %x: %lld", (unsigned)page,
			(unsigned)frame, (long long)result);
	return result == 0;
}

bool preswap_put(u32 page, u32 frame)
{
	return preswap_is_on() &&
	       page_call(HYPERCALL_TMEM_PUT, preswap_pool, OBJECT_ANONYMOUS, page, frame) == 0;
}

void preswap_get(u32 page, u32 frame)
{
	s64 result = page_call(HYPERCALL_TMEM_GET, preswap_pool, OBJECT_ANONYMOUS, page, frame);

	if (result != 0)
		panic("preswap lost page %x: %lld", (unsigned)page, (long long)result);
	preswap_flush(page);
}

void preswap_flush(u32 page)
{
	s64 result = page_call(HYPERCALL_TMEM_FLUSH_PAGE, preswap_pool, OBJECT_ANONYMOUS, page, 0);

	if (result != 0)
		panic("preswap flush of page %x: %lld", (unsigned)page, (long long)result);
}
