/*
 * The compressor of the port for measuring: the functions that the hypervisor links. Where
 * instructions are counted the library's own are left out, and where no page is moved it only says
 * what it would do.
 */
#include <abi/errno.h>
#include <lz4.h>

#include "tests/bench/tmem/host.h"
#include "tmem/port.h"

u32 bench_compressed;

struct tmem_scratch *tmem_port_scratch(void)
{
	static struct tmem_scratch scratch __aligned_to(PAGE_SIZE);

	return &scratch;
}

static __attribute__((noinline)) int bench_uncounted_compress(
	void *to, const void *page, int capacity)
{
	static LZ4_stream_t state;
	int length = LZ4_compress_fast_extState(&state, page, to, (int)PAGE_SIZE, capacity, 1);

	__asm__ volatile("" : "+r"(length)); /* no jump out of the function that is left out */
	return length;
}

static __attribute__((noinline)) int bench_uncounted_decompress(
	void *page, const void *from, int length)
{
	int bytes = LZ4_decompress_safe(from, page, length, (int)PAGE_SIZE);

	__asm__ volatile("" : "+r"(bytes));
	return bytes;
}

u32 tmem_port_compress(void *to, const void *page, u32 capacity)
{
	int length;

	if (!bench_moving)
		return bench_compressed;
	length = bench_uncounted_compress(to, page, (int)capacity);
	return length > 0 ? (u32)length : 0;
}

int tmem_port_decompress(void *page, const void *from, u32 length)
{
	if (!bench_moving)
		return 0;
	return bench_uncounted_decompress(page, from, (int)length) == (int)PAGE_SIZE
		       ? 0
		       : -SLUICE_EINVAL;
}
