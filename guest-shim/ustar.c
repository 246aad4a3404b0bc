/*
 * See ustar.h.
 */
#include "guest-shim/ustar.h"

#include <abi/errno.h>
#include <string.h>

struct ustar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char padding[12];
};
_Static_assert(sizeof(struct ustar_header) == USTAR_BLOCK, "a header is one block");

static bool is_zero(const u8 *block)
{
	for (unsigned i = 0; i < USTAR_BLOCK; i++) {
		if (block[i])
			return false;
	}
	return true;
}

/* Octal digits, ended by blanks, zeros or the field's end. At most 11 digits, so 33 bits. */
static bool octal_read(const char *field, size_t length, u64 *value)
{
	size_t i = 0;

	*value = 0;
	while (i < length && field[i] == ' ')
		i++;
	if (i == length || field[i] < '0' || field[i] > '7')
		return false;
	for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
		*value = *value << 3 | (u64)(field[i] - '0');
	for (; i < length; i++) {
		if (field[i] && field[i] != ' ')
			return false;
	}
	return true;
}

/* The sum of all bytes, those of the checksum itself taken as blanks. */
static bool checksum_is_right(const struct ustar_header *header)
{
	const u8 *bytes = (const u8 *)header;
	size_t from = offsetof(struct ustar_header, checksum);
	u64 sum = 0, stored;

	for (size_t i = 0; i < USTAR_BLOCK; i++)
		sum += i - from < sizeof(header->checksum) ? ' ' : bytes[i];
	return octal_read(header->checksum, sizeof(header->checksum), &stored) && stored == sum;
}

static void name_read(const struct ustar_header *header, char *name)
{
	size_t prefix = strnlen(header->prefix, sizeof(header->prefix));
	size_t length = strnlen(header->name, sizeof(header->name));
	char whole[USTAR_NAME_MAX];
	const char *start = whole;
	size_t used = 0;

	if (prefix) {
		memcpy(whole, header->prefix, prefix);
		whole[prefix] = '/';
		used = prefix + 1;
	}
	memcpy(whole + used, header->name, length);
	whole[used + length] = 0;
	while (start[0] == '/' || (start[0] == '.' && start[1] == '/'))
		start += start[0] == '/' ? 1 : 2;
	memcpy(name, start, strlen(start) + 1);
}

/* What the type says, or NULL if such a member is understood. */
static const char *type_refused(char type)
{
	switch (type) {
	case '1':
	case '2':
		return "a link (pack with --dereference --hard-dereference)";
	case 'x':
	case 'g':
	case 'L':
	case 'K':
		return "an extended header (pack with --format=ustar)";
	case 'S':
		return "a sparse file (pack without --sparse)";
	default:
		return NULL;
	}
}

static bool type_is_file(char type)
{
	return type == '0' || type == 0 || type == '7';
}

static int refuse(const char **why, const char *reason)
{
	*why = reason;
	return -SLUICE_EINVAL;
}

int ustar_read(const u8 *block, u64 offset, u64 image_bytes, struct ustar_member *member, u64 *next,
	const char **why)
{
	struct ustar_header header;
	const char *refused;

	member->kind = USTAR_END;
	if (offset > image_bytes || image_bytes - offset < USTAR_BLOCK)
		return refuse(why, "the image ends without an end mark");
	if (is_zero(block))
		return 0;
	memcpy(&header, block, sizeof(header));
	if (memcmp(header.magic, "ustar", sizeof(header.magic)))
		return refuse(why, "no ustar header (pack with --format=ustar)");
	if (!checksum_is_right(&header))
		return refuse(why, "the header's checksum is wrong");
	refused = type_refused(header.type);
	if (refused)
		return refuse(why, refused);
	name_read(&header, member->name);
	member->kind = type_is_file(header.type) ? USTAR_FILE : USTAR_OTHER;
	member->size = 0;
	if (member->kind == USTAR_FILE) {
		if (!member->name[0])
			return refuse(why, "a file without a name");
		if (!octal_read(header.size, sizeof(header.size), &member->size))
			return refuse(why, "the size is no octal number");
	}
	*next = offset + USTAR_BLOCK + ROUND_UP(member->size, USTAR_BLOCK);
	if (*next > image_bytes)
		return refuse(why, "the content lies beyond the image's end");
	return 0;
}
