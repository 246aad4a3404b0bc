/*
 * The multiboot2 parser: what GRUB sends, what broken loaders and firmware may send.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/multiboot.h"

static u8 blob[65536] __aligned_to(8);
static u32 used;
static struct boot_info info;
static struct multiboot_result result;

static void put(const void *bytes, u32 size)
{
	memcpy(blob + used, bytes, size);
	used += size;
}

static void put_tag(u32 type, const void *body, u32 size)
{
	const u32 header[2] = {type, size + 8};

	put(header, sizeof(header));
	put(body, size);
	used = (used + 7) & ~7U;
}

static void put_string(u32 type, const char *text)
{
	put_tag(type, text, (u32)strlen(text) + 1);
}

static void put_module(u32 start, u32 end, const char *text)
{
	u8 body[8192];

	memcpy(body, &start, 4);
	memcpy(body + 4, &end, 4);
	strcpy((char *)body + 8, text);
	put_tag(3, body, 8 + (u32)strlen(text) + 1);
}

struct entry {
	u64 base, length;
	u32 type, reserved;
};

static void put_map(const struct entry *entries, u32 count)
{
	u8 body[4096];
	const u32 sizes[2] = {sizeof(*entries), 0};

	memcpy(body, sizes, sizeof(sizes));
	memcpy(body + 8, entries, count * sizeof(*entries));
	put_tag(6, body, 8 + count * (u32)sizeof(*entries));
}

static const struct entry plain_map[] = {
	{0, 0x9fc00, 1, 0},
	{0x9fc00, 0x400, 2, 0},
	{0x100000, 0x7f00000, 1, 0},
};

static int start(void **state)
{
	(void)state;
	memset(blob, 0, sizeof(blob));
	memset(&info, 0, sizeof(info));
	memset(&result, 0, sizeof(result));
	result.info = &info;
	used = 8;
	return 0;
}

static const char *parse(void)
{
	put_tag(0, "", 0);
	memcpy(blob, &used, 4);
	return multiboot_parse(blob, multiboot_bytes(blob), &result);
}

static void what_grub_sends_is_read(void **state)
{
	(void)state;
	put_string(1, "log=debug");
	put_module(0x200000, 0x200123, "sluice.toml");
	put_module(0x201000, 0x301000, "web kernel with words");
	put_map(plain_map, 3);
	put_tag(14, "RSD PTR old12345678", 20); /* with its NUL */
	assert_null(parse());
	assert_string_equal(info.command_line, "log=debug");
	assert_int_equal(info.module_count, 2);
	assert_string_equal(info.modules[0].name, "sluice.toml");
	assert_int_equal(info.modules[0].bytes, 0x123);
	assert_string_equal(info.modules[1].name, "web");
	assert_int_equal(info.ram_count, 2);
	assert_int_equal(info.ram[0].bytes, 0x9f000); /* rounded inwards */
	assert_int_equal(info.ram[1].start.raw, 0x100000);
	assert_int_equal(result.rsdp_bytes, 20);
}

static void strings_are_copied(void **state)
{
	(void)state;
	put_string(1, "keep");
	put_map(plain_map, 3);
	assert_null(parse());
	memset(blob, 0xff, sizeof(blob));
	assert_string_equal(info.command_line, "keep");
}

/* Where the others are: literals are gone after the boot. */
static void no_command_line_is_an_empty_copy(void **state)
{
	(void)state;
	put_map(plain_map, 3);
	assert_null(parse());
	assert_in_range((u64)info.command_line, (u64)result.strings,
		(u64)result.strings + sizeof(result.strings) - 1);
	assert_string_equal(info.command_line, "");
}

static void reserved_entries_win_over_ram_that_overlaps_them(void **state)
{
	static const struct entry map[] = {
		{0x500800, 0x1000, 2, 0}, /* reserved first, in the middle of the RAM */
		{0x100000, 0x900000, 1, 0}, {0x800000, 0x400000, 1, 0}, /* overlapping RAM */
	};

	(void)state;
	put_map(map, 3);
	assert_null(parse());
	assert_int_equal(info.ram_count, 2);
	assert_int_equal(info.ram[0].bytes, 0x400000);
	assert_int_equal(info.ram[1].start.raw, 0x502000);
	assert_int_equal(info.ram[1].start.raw + info.ram[1].bytes, 0xc00000);
}

/* Firmware's mistakes and CXL's windows: RAM ends where the direct map does. */
static void memory_beyond_the_direct_map_is_left_out(void **state)
{
	const struct entry map[] = {
		{0x100000, 0x7f00000, 1, 0},
		{BIT(46) - 0x200000, 0x400000, 1, 0},
		{BIT(47), GIB(1), 1, 0},
		{~0UL - 0xfff, 0x2000, 1, 0},
	};

	(void)state;
	put_map(map, 4);
	assert_null(parse());
	assert_int_equal(info.ram_count, 2);
	assert_int_equal(info.ram[1].start.raw, BIT(46) - 0x200000);
	assert_int_equal(info.ram[1].bytes, 0x200000);
}

static void the_new_acpi_pointer_wins_in_either_order(void **state)
{
	const u8 newer[36] = "new", older[20] = "old";

	(void)state;
	put_tag(15, newer, sizeof(newer));
	put_tag(14, older, sizeof(older));
	put_map(plain_map, 3);
	assert_null(parse());
	assert_int_equal(result.rsdp_bytes, 36);
	assert_memory_equal(result.rsdp, "new", 3);
	start(NULL);
	put_tag(14, older, sizeof(older));
	put_tag(15, newer, sizeof(newer));
	put_map(plain_map, 3);
	assert_null(parse());
	assert_memory_equal(result.rsdp, "new", 3);
}

static void no_memory_map_is_named(void **state)
{
	(void)state;
	put_string(1, "x");
	assert_non_null(strstr(parse(), "no memory map"));
}

static void too_many_modules_are_named(void **state)
{
	(void)state;
	for (int i = 0; i <= BOOT_MODULES_MAX; i++)
		put_module(0x200000, 0x200010, "m");
	assert_non_null(strstr(parse(), "more modules than 64"));
}

static void strings_that_do_not_fit_are_named(void **state)
{
	char text[5000];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	put_module(0x200000, 0x200010, text);
	put_module(0x200000, 0x200010, text);
	assert_non_null(strstr(parse(), "8 KiB"));
}

static void malformed_tags_are_refused(void **state)
{
	const u32 too_long[2] = {1, 0x10000}, too_short[2] = {1, 4}, backwards[3] = {5, 4, 0};
	const u32 entry_size_zero[2] = {0, 0};

	(void)state;
	put(too_long, 8);
	assert_non_null(parse());
	start(NULL);
	put(too_short, 8);
	assert_non_null(parse());
	start(NULL);
	put_tag(3, backwards, 12);
	assert_non_null(strstr(parse(), "module"));
	start(NULL);
	put_tag(6, entry_size_zero, 8);
	assert_non_null(strstr(parse(), "memory map"));
}

/* The sanitizers watch. */
struct framebuffer {
	u64 address;
	u32 pitch, width, height;
	u8 bits, kind;
	u16 reserved;
	u8 colours[6];
};

static const struct framebuffer rgb = {
	0x8000000000, 4096, 1024, 768, 32, 1, 0, {16, 8, 8, 8, 0, 8}};

/* What the parser makes of @framebuffer, of which the tag has @size bytes. */
static const struct screen_mode *parse_screen(struct framebuffer framebuffer, u32 size)
{
	start(NULL);
	memset(&result.screen, 0, sizeof(result.screen));
	put_tag(8, &framebuffer, size);
	put_map(plain_map, 3);
	assert_null(parse());
	return &result.screen;
}

static void a_screen_is_read(void **state)
{
	const struct screen_mode *screen = parse_screen(rgb, 30);
	struct framebuffer other = rgb;

	(void)state;
	assert_int_equal(screen->address.raw, 0x8000000000);
	assert_int_equal(screen->pitch, 4096);
	assert_int_equal(screen->width, 1024);
	assert_int_equal(screen->height, 768);
	assert_int_equal(screen->pixel_bytes, 4);
	assert_int_equal(screen->ink, 0xaaaaaa);
	assert_false(screen->text);
	other = (struct framebuffer){0, 2048, 1024, 768, 16, 1, 0, {11, 5, 5, 6, 0, 5}};
	screen = parse_screen(other, 30);
	assert_int_equal(screen->pixel_bytes, 2);
	assert_int_equal(screen->ink, 20 << 11 | 42 << 5 | 20);
	/* No colours come with text. */
	other = (struct framebuffer){
		.address = 0xb8000, .pitch = 160, .width = 80, .height = 25, .bits = 16, .kind = 2};
	screen = parse_screen(other, 24);
	assert_true(screen->text);
	assert_int_equal(screen->width, 80);
	assert_int_equal(screen->height, 25);
}

static void a_screen_that_cannot_be_is_none(void **state)
{
	struct framebuffer wrong[] = {rgb, rgb, rgb, rgb, rgb, rgb, rgb, rgb};

	(void)state;
	wrong[0].kind = 0; /* colours by a table */
	wrong[1].pitch = 4095;
	wrong[2].bits = 40;
	wrong[3].bits = 0;
	wrong[4].colours[0] = 25; /* beyond the pixel */
	wrong[5].height = wrong[5].width = ~0U;
	wrong[6].address = ~0UL;
	memset(wrong[7].colours, 0, sizeof(wrong[7].colours));
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(parse_screen(wrong[i], 30)->width, 0);
	assert_int_equal(parse_screen(rgb, 29)->width, 0);
	assert_int_equal(parse_screen(rgb, 23)->width, 0);
	start(NULL);
	put_map(plain_map, 3);
	memset(&result.screen, 0, sizeof(result.screen));
	assert_null(parse());
	assert_int_equal(result.screen.width, 0);
}

static void damaged_information_harms_nothing(void **state)
{
	static u8 good[4096] __aligned_to(8);
	u32 bytes;

	(void)state;
	put_string(1, "log=debug");
	put_module(0x200000, 0x200123, "sluice.toml a b");
	put_map(plain_map, 3);
	put_tag(15, good, 36);
	put_tag(8, &rgb, 30);
	assert_null(parse());
	bytes = used;
	memcpy(good, blob, bytes);
	srand(7);
	for (int round = 0; round < 20000; round++) {
		u8 *copy = malloc(bytes);

		assert_non_null(copy);
		memcpy(copy, good, bytes);
		for (int i = rand() % 4; i >= 0; i--)
			copy[8 + (u32)rand() % (bytes - 8)] = (u8)(rand() % 4 ? rand() % 64
									      : rand());
		memset(&info, 0, sizeof(info));
		result.rsdp_bytes = 0;
		(void)multiboot_parse(copy, bytes, &result);
		assert_true(info.module_count <= BOOT_MODULES_MAX);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_grub_sends_is_read, start),
		cmocka_unit_test_setup(strings_are_copied, start),
		cmocka_unit_test_setup(no_command_line_is_an_empty_copy, start),
		cmocka_unit_test_setup(reserved_entries_win_over_ram_that_overlaps_them, start),
		cmocka_unit_test_setup(memory_beyond_the_direct_map_is_left_out, start),
		cmocka_unit_test_setup(the_new_acpi_pointer_wins_in_either_order, start),
		cmocka_unit_test_setup(no_memory_map_is_named, start),
		cmocka_unit_test_setup(too_many_modules_are_named, start),
		cmocka_unit_test_setup(strings_that_do_not_fit_are_named, start),
		cmocka_unit_test_setup(malformed_tags_are_refused, start),
		cmocka_unit_test_setup(a_screen_is_read, start),
		cmocka_unit_test_setup(a_screen_that_cannot_be_is_none, start),
		cmocka_unit_test_setup(damaged_information_harms_nothing, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
