/*
 * The checksum of the stream: XXH64, out of the header of Debian's libxxhash-dev. Its other hashes,
 * which would want vector registers, are left out.
 */
#include "tmem/stream.h"

#include <stddef.h>

#ifdef __clang_analyzer__ /* It would take the header's check for NULL at its word. */
u64 XXH64(const void *bytes, size_t count, u64 seed);
#else
/* The header declares more than it defines when it is cut down so. */
#pragma GCC diagnostic ignored "-Wunused-function"
#define XXH_NO_XXH3
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

u64 stream_check(const struct tmem_stream_record *record, const void *page, u64 before)
{
	u64 check = XXH64(record, offsetof(struct tmem_stream_record, check), before);

	return page ? XXH64(page, PAGE_SIZE, check) : check;
}
