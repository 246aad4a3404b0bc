/*
 * The archive reader: what tar writes is read right, and no image, however wrong, makes it read
 * outside of the image or not end.
 */
#include "guest-shim/ustar.h"

#include <abi/errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FIELD_NAME     0
#define FIELD_SIZE     124
#define FIELD_CHECKSUM 148
#define FIELD_TYPE     156
#define FIELD_MAGIC    257
#define FIELD_PREFIX   345

static void checksum_set(u8 *block)
{
	unsigned sum = 0;

	memset(block + FIELD_CHECKSUM, ' ', 8);
	for (unsigned i = 0; i < USTAR_BLOCK; i++)
		sum += block[i];
	snprintf((char *)block + FIELD_CHECKSUM, 8, "%06o", sum);
}

static void header_make(u8 *block, const char *name, const char *size, char type)
{
	memset(block, 0, USTAR_BLOCK);
	memcpy(block + FIELD_NAME, name, strnlen(name, 100));
	memcpy(block + FIELD_SIZE, size, strnlen(size, 12));
	block[FIELD_TYPE] = (u8)type;
	memcpy(block + FIELD_MAGIC,
		"ustar\0"
		"00",
		8);
	checksum_set(block);
}

static struct ustar_member member;
static u64 next;
static const char *why;

static int read_at(const u8 *block, u64 offset, u64 bytes)
{
	why = NULL;
	return ustar_read(block, offset, bytes, &member, &next, &why);
}

/* What is refused says why, with @part in it. */
static void assert_refused(const u8 *block, u64 bytes, const char *part)
{
	assert_int_equal(read_at(block, 0, bytes), -SLUICE_EINVAL);
	assert_non_null(why);
	if (!strstr(why, part))
		fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static void test_a_plain_file(void **state)
{
	u8 block[USTAR_BLOCK];

	(void)state;
	header_make(block, "./dir/file", "00000001001", '0');
	assert_int_equal(read_at(block, 512, 4096), 0);
	assert_int_equal(member.kind, USTAR_FILE);
	assert_int_equal(member.size, 513);
	assert_string_equal(member.name, "dir/file");
	assert_int_equal(next, 512 + 512 + 1024);
}

static void test_prefix_and_full_fields(void **state)
{
	char long_name[101], expected[USTAR_NAME_MAX];
	u8 block[USTAR_BLOCK];

	(void)state;
	memset(long_name, 'n', 100);
	long_name[100] = 0;
	header_make(block, long_name, "0", '0');
	assert_int_equal(read_at(block, 0, 512), 0);
	assert_string_equal(member.name, long_name);
	memset(block + FIELD_PREFIX, 'p', 155);
	checksum_set(block);
	assert_int_equal(read_at(block, 0, 512), 0);
	memset(expected, 'p', 155);
	sprintf(expected + 155, "/%s", long_name);
	assert_string_equal(member.name, expected);
	assert_int_equal(strlen(member.name), USTAR_NAME_MAX - 1);
}

static void test_other_members_have_no_content(void **state)
{
	u8 block[USTAR_BLOCK];

	(void)state;
	header_make(block, "dir/", "00000007777", '5');
	assert_int_equal(read_at(block, 0, 512), 0);
	assert_int_equal(member.kind, USTAR_OTHER);
	assert_int_equal(next, 512);
}

static void test_the_end(void **state)
{
	u8 block[USTAR_BLOCK] = {0};

	(void)state;
	assert_int_equal(read_at(block, 512, 1024), 0);
	assert_int_equal(member.kind, USTAR_END);
	/* The block is not even looked at where the image has none. */
	assert_int_equal(read_at(NULL, 1024, 1024), -SLUICE_EINVAL);
	assert_int_equal(read_at(NULL, 1000, 1024), -SLUICE_EINVAL);
	assert_int_equal(read_at(NULL, ~0UL - 5, 1024), -SLUICE_EINVAL);
	assert_int_equal(read_at(NULL, 0, 0), -SLUICE_EINVAL);
}

static void test_content_must_be_in_the_image(void **state)
{
	u8 block[USTAR_BLOCK];

	(void)state;
	header_make(block, "f", "00000001001", '0');
	assert_int_equal(read_at(block, 0, 512 + 1024), 0);
	assert_refused(block, 512 + 1023, "beyond the image's end");
	header_make(block, "f", "777777777777", '0');
	assert_refused(block, 1 << 20, "beyond the image's end");
}

static void test_sizes_that_are_none(void **state)
{
	static const char *const sizes[] = {
		"", "8", "-1", "12x", "x", "            ", "1 2", "\x80\0\0\0\0\0\0\0\0\0\0\1"};
	u8 block[USTAR_BLOCK];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		header_make(block, "f", sizes[i], '0');
		assert_refused(block, 1 << 20, "octal");
	}
	header_make(block, "f", " 17 ", '0');
	assert_int_equal(read_at(block, 0, 1 << 20), 0);
	assert_int_equal(member.size, 15);
}

static void test_members_that_ustar_does_not_have(void **state)
{
	u8 block[USTAR_BLOCK];

	(void)state;
	header_make(block, "f", "0", '1');
	assert_refused(block, 512, "a link");
	header_make(block, "f", "0", '2');
	assert_refused(block, 512, "a link");
	for (const char *type = "xgLK"; *type; type++) {
		header_make(block, "f", "0", *type);
		assert_refused(block, 512, "extended header");
	}
	header_make(block, "f", "0", 'S');
	assert_refused(block, 512, "sparse");
	header_make(block, "./", "0", '0');
	assert_refused(block, 512, "without a name");
	header_make(block, "f", "0", '0');
	memcpy(block + FIELD_MAGIC, "ustar  ", 8); /* the format that GNU tar writes by default */
	checksum_set(block);
	assert_refused(block, 512, "--format=ustar");
}

static void test_every_changed_byte_is_noticed(void **state)
{
	u8 block[USTAR_BLOCK];

	(void)state;
	header_make(block, "name", "0", '0');
	for (unsigned at = 0; at < USTAR_BLOCK; at++) {
		/* The checksum may end with a zero, a blank or both. */
		if (at == FIELD_CHECKSUM + 6 || at == FIELD_CHECKSUM + 7)
			continue;
		block[at] ^= 1;
		assert_int_equal(read_at(block, 0, 512), -SLUICE_EINVAL);
		block[at] ^= 1;
	}
}

/* Walks an image as the shim does; returns the number of files, or -1 if it is refused. */
static int walk(const u8 *image, u64 bytes)
{
	int files = 0;
	u64 offset = 0;

	for (;; offset = next) {
		const u8 *block = bytes >= USTAR_BLOCK && offset <= bytes - USTAR_BLOCK
					  ? image + offset
					  : NULL;

		if (read_at(block, offset, bytes) != 0)
			return -1;
		if (member.kind == USTAR_END)
			return files;
		assert_true(next > offset && next <= bytes);
		assert_true(strlen(member.name) < USTAR_NAME_MAX);
		assert_true(offset + USTAR_BLOCK + member.size <= bytes);
		files += member.kind == USTAR_FILE;
	}
}

/* What the real tar packs of this very folder. */
static u8 *image_pack(long *bytes)
{
	char path[] = "/tmp/test_shim_ustar.XXXXXX", command[300];
	int fd = mkstemp(path);
	FILE *file;
	u8 *image;

	assert_true(fd >= 0);
	snprintf(command, sizeof(command), "tar --format=ustar -cf %s guest-shim", path);
	assert_int_equal(system(command), 0);
	file = fdopen(fd, "rb");
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	*bytes = ftell(file);
	rewind(file);
	image = malloc((size_t)*bytes);
	assert_int_equal(fread(image, 1, (size_t)*bytes, file), *bytes);
	fclose(file);
	unlink(path);
	return image;
}

static void test_what_tar_writes(void **state)
{
	long bytes;
	u8 *image = image_pack(&bytes);

	(void)state;
	assert_true(walk(image, (u64)bytes) > 40);
	/* Cut anywhere before the end mark, it is refused. */
	for (u64 cut = 0; cut + 10240 < (u64)bytes; cut += 777) {
		u8 *part = malloc(cut + 1);

		memcpy(part, image, cut);
		assert_int_equal(walk(part, cut), -1);
		free(part);
	}
	free(image);
}

static void test_damaged_images(void **state)
{
	long bytes;
	u8 *image = image_pack(&bytes);

	(void)state;
	srand(1);
	for (unsigned round = 0; round < 3000; round++) {
		u64 offset = 0;
		u8 saved[USTAR_BLOCK], *block;

		/* A header in the middle gets random bytes and a checksum that fits. */
		for (int skip = rand() % 30;
			skip > 0 && read_at(image + offset, offset, (u64)bytes) == 0 &&
			member.kind != USTAR_END;
			skip--)
			offset = next;
		block = image + offset;
		memcpy(saved, block, USTAR_BLOCK);
		for (int changes = 1 + rand() % 4; changes > 0; changes--)
			block[(rand() % 3 ? FIELD_SIZE + rand() % 12 : rand() % 512)] = (u8)rand();
		if (rand() % 4)
			checksum_set(block);
		walk(image, (u64)bytes);
		memcpy(block, saved, USTAR_BLOCK);
	}
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_file),
		cmocka_unit_test(test_prefix_and_full_fields),
		cmocka_unit_test(test_other_members_have_no_content),
		cmocka_unit_test(test_the_end),
		cmocka_unit_test(test_content_must_be_in_the_image),
		cmocka_unit_test(test_sizes_that_are_none),
		cmocka_unit_test(test_members_that_ustar_does_not_have),
		cmocka_unit_test(test_every_changed_byte_is_noticed),
		cmocka_unit_test(test_what_tar_writes),
		cmocka_unit_test(test_damaged_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
