/*
 * Pages through LZ4 (Y. Collet's liblz4, of which the image carries two functions, see
 * tools/carve.py). The library was compiled for any x86-64: it moves data through SSE registers,
 * reads a stack canary at FS base + 0x28 and writes below the stack pointer. The first is what the
 * calls around it are for; the second lies in each processor's block (cpu.h) and VMX and SVM bring
 * FS base back at every exit; the third is safe, since every gate has a stack of its own.
 */
#include <abi/errno.h>
#include <lz4.h>

#include "arch/x86/arch.h"

_Static_assert(ARCH_COMPRESSOR_BYTES == sizeof(LZ4_stream_t), "the compressor's state");

/* pages.S: all of XMM0-15. MXCSR and the upper halves stay as they are: the library only moves, and
 * only by legacy SSE forms. */
#define VECTOR_BYTES 256
void arch_vectors_save(void *state);
void arch_vectors_load(const void *state);

u32 arch_compress_page(void *to, u32 capacity, const void *page, void *state)
{
	u8 vectors[VECTOR_BYTES];
	int length;

	arch_vectors_save(vectors);
	length = LZ4_compress_fast_extState(state, page, to, (int)PAGE_SIZE, (int)capacity, 1);
	arch_vectors_load(vectors);
	return length > 0 ? (u32)length : 0;
}

int arch_decompress_page(void *page, const void *from, u32 length)
{
	u8 vectors[VECTOR_BYTES];
	int bytes;

	arch_vectors_save(vectors);
	bytes = LZ4_decompress_safe(from, page, (int)length, (int)PAGE_SIZE);
	arch_vectors_load(vectors);
	return bytes == (int)PAGE_SIZE ? 0 : -SLUICE_EINVAL;
}
