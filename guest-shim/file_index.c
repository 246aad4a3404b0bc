/*
 * See file_index.h. One word a page: 0 never read; the top bit set: the frame; the next bit set:
 * the stamp.
 */
#include "guest-shim/file_index.h"

#include "guest-shim/frames.h"

#define WORD_FRAME BIT(31)
#define WORD_STAMP BIT(30)
_Static_assert(STAMP_BITS <= 30, "a stamp fits beside the two bits");

static u32 *words;

void file_index_init(u32 *memory)
{
	words = memory;
}

u32 file_index_frame(u32 page)
{
	return words[page] & WORD_FRAME ? words[page] & ~(u32)WORD_FRAME : FRAME_NONE;
}

u32 file_index_stamp(u32 page)
{
	return words[page] & WORD_STAMP ? words[page] & STAMP_MASK : STAMP_NEW;
}

void file_index_set_frame(u32 page, u32 frame)
{
	words[page] = (u32)WORD_FRAME | frame;
}

void file_index_set_stamp(u32 page, u32 stamp)
{
	words[page] = (u32)WORD_STAMP | stamp;
}
