/*
 * The compressor of the tmem engine's port for hosted tests: the functions that the hypervisor
 * links (tools/carve.py).
 */
#include <abi/errno.h>
#include <lz4.h>

#include "tmem/port.h"

struct tmem_scratch *tmem_port_scratch(void)
{
	static __thread struct tmem_scratch scratch;

	return &scratch;
}

u32 tmem_port_compress(void *to, const void *page, u32 capacity)
{
	static __thread LZ4_stream_t state;
	int length = LZ4_compress_fast_extState(&state, page, to, (int)PAGE_SIZE, (int)capacity, 1);

	return length > 0 ? (u32)length : 0;
}

int tmem_port_decompress(void *page, const void *from, u32 length)
{
	int bytes = LZ4_decompress_safe(from, page, (int)length, (int)PAGE_SIZE);

	return bytes == (int)PAGE_SIZE ? 0 : -SLUICE_EINVAL;
}
