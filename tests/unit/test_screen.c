/*
 * The screen against a terminal of a few lines: what stands in the memory is read back by the
 * glyphs, and nothing outside of it is touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/paging.h"
#include "arch/x86/screen.h"
#include "font.h"

#define UNTOUCHED 0xee
#define COLUMNS   240u
#define ROWS      68u

/* What a screen should show, by the plainest means. */
struct terminal {
	u32 columns, rows, row, column;
	char cells[ROWS][COLUMNS];
};

static struct screen_mode mode;
static u8 *memory;
static u64 bytes;
static u32 scale;
static struct terminal expected;
static volatile void *mapped;

volatile void *paging_map_screen(hpa_t screen, u64 size)
{
	assert_int_equal(screen.raw, mode.address.raw);
	assert_int_equal(size, bytes);
	return mapped;
}

static void expect_newline(void)
{
	expected.row = (expected.row + 1) % expected.rows;
	expected.column = 0;
	memset(expected.cells[(expected.row + 1) % expected.rows], ' ', COLUMNS);
}

static void expect(char c)
{
	if (c == '\n') {
		expect_newline();
	} else if (c == '\r') {
		expected.column = 0;
	} else {
		if (expected.column == expected.columns)
			expect_newline();
		expected.cells[expected.row][expected.column++] = c;
	}
}

/* The character in the cell at [y][x]; fails for what is none, or in another colour. */
static char read_cell(u32 y, u32 x)
{
	u8 rows[FONT_HEIGHT];

	if (mode.text) {
		const u8 *cell = memory + y * mode.pitch + x * 2;

		assert_int_equal(cell[1], 0x07);
		return (char)cell[0];
	}
	for (u32 i = 0; i < FONT_HEIGHT * scale; i++) {
		u8 row = 0;

		for (u32 j = 0; j < FONT_WIDTH * scale; j++) {
			u32 pixel = 0;

			memcpy(&pixel,
				memory + (y * FONT_HEIGHT * scale + i) * mode.pitch +
					(x * FONT_WIDTH * scale + j) * mode.pixel_bytes,
				mode.pixel_bytes);
			assert_true(pixel == 0 || pixel == mode.ink);
			if (pixel != 0)
				row |= (u8)(0x80 >> j / scale);
		}
		if (i % scale == 0)
			rows[i / scale] = row;
		assert_int_equal(rows[i / scale], row);
	}
	for (u32 c = 0; c < sizeof(font) / sizeof(font[0]); c++)
		if (memcmp(font[c], rows, FONT_HEIGHT) == 0)
			return (char)(' ' + c);
	fail_msg("no character at row %u, column %u", y, x);
	return 0;
}

static void check(void)
{
	for (u32 y = 0; y < expected.rows; y++)
		for (u32 x = 0; x < expected.columns; x++)
			assert_int_equal(read_cell(y, x), expected.cells[y][x]);
}

/* What is behind a row's last whole character, and below the last row. */
static void check_margins(void)
{
	u32 row_bytes = expected.columns * (mode.text ? 2 : FONT_WIDTH * scale * mode.pixel_bytes);
	u32 lines = expected.rows * (mode.text ? 1 : FONT_HEIGHT * scale);

	for (u64 at = 0; at < bytes; at++)
		if (at % mode.pitch >= row_bytes || at / mode.pitch >= lines)
			assert_int_equal(memory[at], UNTOUCHED);
}

static void start(struct screen_mode with)
{
	mode = with;
	mode.address = hpa(0xfd000000);
	bytes = (u64)mode.pitch * mode.height;
	scale = mode.text || mode.width < 1920 ? 1 : 2;
	memory = malloc(bytes);
	memset(memory, UNTOUCHED, bytes);
	mapped = memory;
	memset(&expected, 0, sizeof(expected));
	expected.columns = mode.text ? mode.width : mode.width / (FONT_WIDTH * scale);
	expected.rows = mode.text ? mode.height : mode.height / (FONT_HEIGHT * scale);
	assert_true(expected.columns <= COLUMNS && expected.rows <= ROWS);
	memset(expected.cells, ' ', sizeof(expected.cells));
	screen_start(&mode);
}

static void finish(void)
{
	check();
	check_margins();
	free(memory);
	/* Whatever comes now is for no screen. */
	mapped = NULL;
	screen_use(NULL, &(struct screen_mode){.width = 0});
	screen_write("lost\n", 5);
}

static void show(const char *text)
{
	screen_write(text, (unsigned)strlen(text));
	for (; *text; text++)
		expect(*text);
}

static const struct screen_mode text_mode = {.width = 80, .height = 25, .pitch = 160, .text = true};
/* Not whole characters, and a pitch that is more than a row. */
static const struct screen_mode small = {
	.width = 327, .height = 100, .pitch = 1400, .pixel_bytes = 4, .ink = 0xaaaaaa};

static void all_characters_are_themselves(void **state)
{
	char all[2] = {0};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		start(i == 0 ? text_mode : small);
		for (all[0] = ' '; all[0] <= '~'; all[0]++)
			show(all);
		finish();
	}
}

static void pixels_of_every_size_are_drawn(void **state)
{
	(void)state;
	for (u32 size = 1; size <= 4; size++) {
		struct screen_mode one = small;

		one.pixel_bytes = (u8)size;
		one.ink = (u32)(0x15a5a5a5 & (BIT(8 * size) - 1));
		start(one);
		show("pixels {}|~\nof every size");
		finish();
	}
}

static void a_large_screen_has_large_characters(void **state)
{
	(void)state;
	start((struct screen_mode){
		.width = 1920, .height = 1080, .pitch = 7680, .pixel_bytes = 4, .ink = 0xaaaaaa});
	assert_int_equal(expected.columns, 120);
	assert_int_equal(expected.rows, 33);
	show("large\n  characters");
	finish();
}

static void behind_the_last_row_comes_the_first(void **state)
{
	char line[100];

	(void)state;
	start(text_mode);
	for (int i = 0; i < 60; i++) {
		snprintf(line, sizeof(line), "line %d\n", i);
		show(line);
		check();
	}
	/* 60 lines: the last stands in row 59 % 25, and two rows below it are blank. */
	assert_int_equal(read_cell(9, 5), '5');
	assert_int_equal(read_cell(9, 6), '9');
	assert_int_equal(read_cell(10, 0), ' ');
	assert_int_equal(read_cell(11, 0), ' ');
	assert_int_equal(read_cell(12, 5), '3');
	finish();
}

static void long_lines_go_on_below(void **state)
{
	char line[400];

	(void)state;
	start(text_mode);
	memset(line, 'x', sizeof(line));
	line[80] = '\n'; /* a whole row is one row */
	line[81 + 165] = '\n';
	line[300] = 0;
	show(line);
	finish();
}

static void an_unfinished_line_is_taken_away(void **state)
{
	(void)state;
	start(text_mode);
	show("> sto");
	/* In parts, as the port takes them. */
	screen_write("\r", 1);
	screen_write("\x1b", 1);
	screen_write("[", 1);
	screen_write("K", 1);
	memset(expected.cells[0], ' ', COLUMNS);
	expected.column = 0;
	show("a line\n> stop");
	finish();
}

static void what_cannot_be_shown_is_a_question_mark(void **state)
{
	(void)state;
	start(text_mode);
	screen_write("a\x01\x7f\xc3\xa4\tz", 7);
	for (const char *c = "a???? z"; *c; c++)
		expect(*c);
	/* No other control sequence does anything. */
	screen_write("\x1b[J\x1b]\x1b[\x1b[K", 10);
	screen_write("K", 1);
	expect('K');
	finish();
}

static void a_screen_without_room_is_none(void **state)
{
	static const struct screen_mode tiny[] = {
		{.width = 0, .height = 25, .pitch = 160, .text = true},
		{.width = 80, .height = 1, .pitch = 160, .text = true},
		{.width = 7, .height = 64, .pitch = 28, .pixel_bytes = 4, .ink = 1},
		{.width = 64, .height = 31, .pitch = 256, .pixel_bytes = 4, .ink = 1},
	};
	u8 nothing[8192];

	(void)state;
	memset(nothing, UNTOUCHED, sizeof(nothing));
	for (unsigned i = 0; i < 4; i++) {
		assert_false(screen_use(nothing, &tiny[i]));
		screen_write("x", 1);
		for (unsigned j = 0; j < sizeof(nothing); j++)
			assert_int_equal(nothing[j], UNTOUCHED);
	}
}

/* Any bytes, in pieces of any length, stay within the screen. */
static void random_bytes_stay_inside(void **state)
{
	static const char likely[] = "\n\r\x1b[Kab \t";
	char piece[64];

	(void)state;
	srand(7);
	for (int round = 0; round < 2; round++) {
		start(round == 0 ? text_mode : small);
		for (int i = 0; i < 2000; i++) {
			unsigned length = (unsigned)rand() % sizeof(piece);

			for (unsigned j = 0; j < length; j++)
				piece[j] = rand() % 2 ? (char)rand()
						      : likely[rand() % (int)(sizeof(likely) - 1)];
			screen_write(piece, length);
		}
		check_margins();
		for (u32 y = 0; y < expected.rows; y++)
			for (u32 x = 0; x < expected.columns; x++)
				read_cell(y, x);
		free(memory);
	}
	screen_use(NULL, &(struct screen_mode){.width = 0});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_characters_are_themselves),
		cmocka_unit_test(pixels_of_every_size_are_drawn),
		cmocka_unit_test(a_large_screen_has_large_characters),
		cmocka_unit_test(behind_the_last_row_comes_the_first),
		cmocka_unit_test(long_lines_go_on_below),
		cmocka_unit_test(an_unfinished_line_is_taken_away),
		cmocka_unit_test(what_cannot_be_shown_is_a_question_mark),
		cmocka_unit_test(a_screen_without_room_is_none),
		cmocka_unit_test(random_bytes_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
