/*
 * The unfinished line at the bottom of the operator's terminal, below the log's lines. It is taken
 * off the screen before a line of the log comes, and written again behind it. Pure; the log's lock
 * guards it.
 */
#ifndef CORE_TYPING_H
#define CORE_TYPING_H

#include "lib/types.h"

/* What fits on a terminal of 80 columns: of a longer line its end is shown. */
#define TYPING_MAX 76u

/* Back to the left margin, and nothing behind it (ECMA-48: EL). */
#define TYPING_ERASE        "\r\x1b[K"
#define TYPING_ERASE_LENGTH 4u

struct typing {
	char text[TYPING_MAX];
	u32 length;
	bool stale;     /* the screen does not show @text */
	bool on_screen; /* something of it is there, or on its way */
	/* What is being sent: [sent, count) of @screen is still to come. */
	char screen[TYPING_ERASE_LENGTH + TYPING_MAX];
	u32 count, sent;
};

/* The line is @length bytes at @text from now on; none if that is 0. */
void typing_set(struct typing *typing, const char *text, u32 length);

/* Whether typing_next() has something to say although no line of the log waits. */
static inline bool typing_is_due(const struct typing *typing)
{
	return typing->stale || typing->sent != typing->count;
}

/* What must go to the port before anything else, at most @room bytes; 0: a line of the log may be
 * sent, of which @line_waits says whether there is one. */
u32 typing_next(struct typing *typing, bool line_waits, char *bytes, u32 room);
/* @count bytes of it were taken. */
void typing_sent(struct typing *typing, u32 count);

#endif
