/* Putting and getting pages that tell which they are. */
#include "roles.h"

static uint64_t page[PAGE / 8] __attribute__((aligned(4096)));

static int64_t call(uint64_t number, int64_t pool, uint32_t n)
{
	/* Some objects with several pages, some with one. */
	uint64_t object = n % 3 ? n / 10 : n * 0x100000001ul;

	return hypercall6(
		number, TMEM_HANDLE(pool, n), object, 7, ~object, (uint64_t)page / PAGE, 0);
}

void fill(uint32_t n)
{
	for (unsigned i = 0; i < PAGE / 8; i++)
		page[i] = (n + 1) * 0x9e3779b97f4a7c15ul + i;
}

bool is_filled(uint32_t n)
{
	for (unsigned i = 0; i < PAGE / 8; i++)
		if (page[i] != (n + 1) * 0x9e3779b97f4a7c15ul + i)
			return false;
	return true;
}

int64_t put(int64_t pool, uint32_t n)
{
	return call(HYPERCALL_TMEM_PUT, pool, n);
}

int64_t get(int64_t pool, uint32_t n)
{
	return call(HYPERCALL_TMEM_GET, pool, n);
}

int64_t flush(int64_t pool, uint32_t n)
{
	return call(HYPERCALL_TMEM_FLUSH_PAGE, pool, n);
}

bool kept(int64_t pool, uint32_t n)
{
	memset(page, 0, sizeof(page));
	return get(pool, n) == 0 && is_filled(n);
}
