/*
 * The compressor of the port for measuring: the functions that the hypervisor links. While
 * instructions are counted it only says what it would: the library's own are left out.
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

u32 tmem_port_compress(void *to, const void *page, u32 capacity)
{
	static LZ4_stream_t state;
	int length;

	if (bench_counting)
		return bench_compressed;
	length = LZ4_compress_fast_extState(&state, page, to, (int)PAGE_SIZE, (int)capacity, 1);
	return length > 0 ? (u32)length : 0;
}

int tmem_port_decompress(void *page, const void *from, u32 length)
{
	if (bench_counting)
		return 0;
	return LZ4_decompress_safe(from, page, (int)length, (int)PAGE_SIZE) == (int)PAGE_SIZE
		       ? 0
		       : -SLUICE_EINVAL;
}
