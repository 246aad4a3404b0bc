/*
 * Reads the headers of a guest's ELF image (32 or 64 bit, x86) and says what to load where. Pure:
 * the image is hostile, every offset and sum is checked before it is used.
 */
#ifndef GUEST_ELF_H
#define GUEST_ELF_H

#include "lib/types.h"

#define ELF_SEGMENTS_MAX 16

struct elf_segment {
	u64 offset;  /* of its bytes in the image */
	u64 bytes;   /* in the image */
	u64 address; /* guest-physical */
	u64 memory;  /* bytes in RAM, >= @bytes; the rest is zero */
};

struct elf_image {
	struct elf_segment segments[ELF_SEGMENTS_MAX]; /* disjoint, inside RAM */
	unsigned count;
	u32 entry; /* XEN_ELFNOTE_PHYS32_ENTRY, inside a segment */
	u64 end;   /* behind the highest segment */
};

/* What is wrong: "@what is @value, valid is @low to @high", or only @what where @ranged is false.
 * @what fits in ELF_WHAT_BYTES: with names of guest and module it is one line of the log. */
#define ELF_WHAT_BYTES 80
struct elf_error {
	const char *what;
	bool ranged;
	u64 value, low, high;
};

/*
 * Checks @size bytes at @image for loading into RAM from 0 to @ram_end. The range [@taken,
 * @taken + @taken_bytes) must stay free. 0, or -EINVAL with *@error filled in.
 */
int __must_check elf_read(const u8 *image, u64 size, u64 ram_end, u64 taken, u64 taken_bytes,
	struct elf_image *out, struct elf_error *error);

#endif
