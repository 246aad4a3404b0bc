/* See line_edit.h. Invariant: length <= LINE_EDIT_MAX. */
#include "kernel/line_edit.h"

#define CONTROL(letter) ((letter) - '@')
#define ESCAPE          0x1b
#define DELETE          0x7f

/* ECMA-48: ESC [ parameters final, or ESC O final of a keypad. */
enum { OUTSIDE, AFTER_ESCAPE, IN_SEQUENCE };

void line_clear(struct line_edit *line)
{
	line->length = 0;
	line->too_long = false;
}

/* Whether @byte belongs to an escape sequence. */
static bool skip_escape(struct line_edit *line, u8 byte)
{
	switch (line->escape) {
	case AFTER_ESCAPE:
		line->escape = byte == '[' || byte == 'O' ? IN_SEQUENCE : OUTSIDE;
		return line->escape == IN_SEQUENCE;
	case IN_SEQUENCE:
		/* What is no part of one ends it, so that nothing is swallowed for ever. */
		if (byte < ' ' || byte >= DELETE) {
			line->escape = OUTSIDE;
			return false;
		}
		if (byte >= '@')
			line->escape = OUTSIDE;
		return true;
	default:
		return false;
	}
}

static enum line_event take_away(struct line_edit *line)
{
	if (line->length == 0)
		return LINE_SAME;
	line->length--;
	return LINE_CHANGED;
}

static enum line_event append(struct line_edit *line, u8 byte)
{
	if (line->length == LINE_EDIT_MAX) {
		line->too_long = true;
		return LINE_SAME;
	}
	line->text[line->length++] = (char)byte;
	return LINE_CHANGED;
}

enum line_event line_type(struct line_edit *line, u8 byte)
{
	if (skip_escape(line, byte))
		return LINE_SAME;
	switch (byte) {
	case '\r':
	case '\n':
		line->text[line->length] = '\0';
		return line->length ? LINE_ENTERED : LINE_SAME;
	case '\b':
	case DELETE:
		return take_away(line);
	case CONTROL('U'):
	case CONTROL('C'):
		line_clear(line);
		return LINE_CHANGED;
	case ESCAPE:
		line->escape = AFTER_ESCAPE;
		return LINE_SAME;
	default:
		return byte >= ' ' && byte < DELETE ? append(line, byte) : LINE_SAME;
	}
}
