/*
 * The archive format of data disks: POSIX ustar (IEEE 1003.1-2001, "pax Interchange Format",
 * ustar), as `tar --format=ustar` writes it. Pure; every byte of a header is hostile until checked.
 */
#ifndef SHIM_USTAR_H
#define SHIM_USTAR_H

#include "lib/types.h"

#define USTAR_BLOCK    512u
#define USTAR_NAME_MAX 257u /* prefix, slash, name and the final zero */

enum ustar_kind {
	USTAR_FILE,  /* a regular file */
	USTAR_OTHER, /* a directory or device: nothing that can be read */
	USTAR_END,   /* the block of zeros behind the last member */
};

struct ustar_member {
	enum ustar_kind kind;
	u64 size;                  /* bytes of content, behind the header */
	char name[USTAR_NAME_MAX]; /* without leading "./" and "/" */
};

/*
 * Reads the header @block (USTAR_BLOCK bytes) that stands at @offset of an image of @image_bytes,
 * and fills
 * @member. @next becomes the offset of the next header. Returns 0, or -EINVAL with what is wrong in
 * @why: no ustar header, a bad checksum or number, a name that is empty, content beyond the image's
 * end, or a member that plain ustar does not have (links, pax and GNU extensions).
 */
int ustar_read(const u8 *block, u64 offset, u64 image_bytes, struct ustar_member *member, u64 *next,
	const char **why) __must_check;

#endif
