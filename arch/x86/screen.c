/*
 * The log on the screen, for machines without a serial port. Owns the memory of the screen. Pure
 * apart from screen_start() (tests/unit/test_screen.c); the caller serializes (the log's lock).
 *
 * Nothing is read back and nothing moves: behind its last row the text goes on in the first one,
 * and the row below the newest is always blank. So a byte costs one character and a line one row,
 * however large the screen is; scrolling would cost the dispatch loop all of its pixels.
 */
#include "arch/x86/arch.h"
#include "arch/x86/paging.h"
#include "arch/x86/screen.h"
#include "font.h"

#define TEXT_GREY   0x0700 /* light grey on black */
#define WIDE        1920   /* from so many pixels on, one of the font is four of the screen */
#define ESCAPE      0x1b
#define FIRST_GLYPH ' '
#define LAST_GLYPH  (FIRST_GLYPH + sizeof(font) / sizeof(font[0]) - 1)
_Static_assert(sizeof(font[0]) == FONT_HEIGHT, "a row of a glyph is one byte");

static struct screen_mode mode;
static volatile u8 *memory; /* NULL: no screen */
static u32 scale, columns, rows;
/* Where the next character goes. */
static u32 row, column;
/* How much of ECMA-48's "erase to the end of the line", ESC [ K, has come. */
static u8 escape;

static void draw_pixel(volatile u8 *at, u32 colour)
{
	if (mode.pixel_bytes == 4) {
		*(volatile u32 *)at = colour;
		return;
	}
	for (u32 i = 0; i < mode.pixel_bytes; i++)
		at[i] = (u8)(colour >> (8 * i));
}

/* The glyph of @c at [y][x] of the text; its whole cell is written. */
static void draw_glyph(u32 y, u32 x, u8 c)
{
	const u8 *glyph = font[c - FIRST_GLYPH];
	volatile u8 *line = memory + (u64)y * FONT_HEIGHT * scale * mode.pitch +
			    (u64)x * FONT_WIDTH * scale * mode.pixel_bytes;

	for (u32 i = 0; i < FONT_HEIGHT * scale; i++, line += mode.pitch) {
		volatile u8 *at = line;

		for (u32 j = 0; j < FONT_WIDTH * scale; j++, at += mode.pixel_bytes)
			draw_pixel(at, glyph[i / scale] & 0x80 >> j / scale ? mode.ink : 0);
	}
}

static void draw(u32 y, u32 x, u8 c)
{
	if (mode.text)
		*(volatile u16 *)(memory + (u64)y * mode.pitch + x * 2) = TEXT_GREY | c;
	else
		draw_glyph(y, x, c);
}

static void erase(u32 y, u32 from)
{
	for (u32 x = from; x < columns; x++)
		draw(y, x, ' ');
}

/* The row below is blank already: the one behind it becomes so. */
static void next_row(void)
{
	row = (row + 1) % rows;
	column = 0;
	erase((row + 1) % rows, 0);
}

/* Whether @c belongs to a control sequence. */
static bool takes_escape(u8 c)
{
	u8 before = escape;

	escape = 0;
	if (c == ESCAPE)
		escape = 1;
	else if (before == 1 && c == '[')
		escape = 2;
	else if (before == 2 && c == 'K')
		erase(row, column);
	return before != 0 || c == ESCAPE;
}

void screen_write(const char *bytes, unsigned count)
{
	if (!memory)
		return;
	for (unsigned i = 0; i < count; i++) {
		u8 c = (u8)bytes[i];

		if (takes_escape(c))
			continue;
		if (c == '\n') {
			next_row();
			continue;
		}
		if (c == '\r') {
			column = 0;
			continue;
		}
		if (column == columns)
			next_row();
		if (c == '\t')
			c = ' ';
		if (c < FIRST_GLYPH || c > LAST_GLYPH)
			c = '?';
		draw(row, column++, c);
	}
}

__init bool screen_use(volatile void *at, const struct screen_mode *found)
{
	mode = *found;
	scale = !mode.text && mode.width >= WIDE ? 2 : 1;
	columns = mode.text ? mode.width : mode.width / (FONT_WIDTH * scale);
	rows = mode.text ? mode.height : mode.height / (FONT_HEIGHT * scale);
	row = column = 0;
	escape = 0;
	memory = NULL;
	if (rows < 2 || columns == 0)
		return false;
	memory = at;
	for (u32 y = 0; y < rows; y++)
		erase(y, 0);
	return true;
}

__init void screen_start(const struct screen_mode *found)
{
	volatile void *at;

	if (found->width == 0)
		return;
	at = paging_map_screen(found->address, (u64)found->pitch * found->height);
	if (at)
		screen_use(at, found);
}
