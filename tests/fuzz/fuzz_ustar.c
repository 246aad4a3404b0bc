/*
 * Any bytes as a data disk: the walk over its members ends, stays on the image, and every name
 * fits. The first byte says whether headers get the checksum that they would need, so that what
 * lies behind it is reached.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "guest-shim/ustar.h"

#define FIELD_CHECKSUM 148
#define FIELD_MAGIC    257

static void repair(u8 *block)
{
	unsigned sum = 0;

	memcpy(block + FIELD_MAGIC, "ustar", 6);
	memset(block + FIELD_CHECKSUM, ' ', 8);
	for (unsigned i = 0; i < USTAR_BLOCK; i++)
		sum += block[i];
	snprintf((char *)block + FIELD_CHECKSUM, 8, "%06o", sum);
}

static bool is_zero(const u8 *block)
{
	for (unsigned i = 0; i < USTAR_BLOCK; i++) {
		if (block[i])
			return false;
	}
	return true;
}

static void walk(u8 *image, u64 bytes, bool repaired)
{
	struct ustar_member member;
	u64 offset = 0, next;

	for (;; offset = next) {
		u8 *block = bytes - offset >= USTAR_BLOCK ? image + offset : NULL;
		const char *why = NULL;

		if (block && repaired && !is_zero(block))
			repair(block);
		if (ustar_read(block, offset, bytes, &member, &next, &why) != 0) {
			REQUIRE(why && why[0]);
			return;
		}
		if (member.kind == USTAR_END)
			return;
		REQUIRE(next % USTAR_BLOCK == 0 && next > offset && next <= bytes);
		REQUIRE(memchr(member.name, 0, USTAR_NAME_MAX));
		REQUIRE(member.size <= next - offset - USTAR_BLOCK);
		if (member.kind == USTAR_FILE)
			REQUIRE(member.name[0] && member.name[0] != '/');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u8 *image;

	if (!size)
		return 0;
	image = malloc(size);
	REQUIRE(image);
	memcpy(image, data + 1, size - 1);
	walk(image, size - 1, data[0] & 1);
	free(image);
	return 0;
}
