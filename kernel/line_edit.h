/*
 * The line that the operator types: a byte at a time, until it is entered. Pure.
 */
#ifndef KERNEL_LINE_EDIT_H
#define KERNEL_LINE_EDIT_H

#include "lib/types.h"

#define LINE_EDIT_MAX 72u

struct line_edit {
	char text[LINE_EDIT_MAX + 1]; /* with a terminating zero when it is entered */
	u32 length;
	bool too_long; /* more was typed than fits */
	u8 escape;     /* inside the escape sequence of a key */
};

enum line_event {
	LINE_SAME,    /* nothing to see */
	LINE_CHANGED, /* @text, @length or both */
	LINE_ENTERED, /* @text is a whole line, not empty; start over with line_clear() */
};

/*
 * Takes @byte: printable ones are appended, backspace and DEL take one away, ^U and ^C all; CR or
 * LF enters what is not empty. Keys that send escape sequences (arrows) and all other bytes do
 * nothing.
 */
enum line_event line_type(struct line_edit *line, u8 byte);
void line_clear(struct line_edit *line);

#endif
