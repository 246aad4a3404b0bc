/* See typing.h. What has begun to be sent is sent to its end, so that no escape sequence is cut. */
#include "kernel/core/typing.h"

#include <string.h>

void typing_set(struct typing *typing, const char *text, u32 length)
{
	u32 shown = MIN(length, TYPING_MAX);

	memcpy(typing->text, text + length - shown, shown);
	typing->length = shown;
	typing->stale = shown > 0 || typing->on_screen;
}

static void compose(struct typing *typing, u32 length)
{
	memcpy(typing->screen, TYPING_ERASE, TYPING_ERASE_LENGTH);
	memcpy(typing->screen + TYPING_ERASE_LENGTH, typing->text, length);
	typing->count = TYPING_ERASE_LENGTH + length;
	typing->sent = 0;
	typing->on_screen = length > 0;
}

u32 typing_next(struct typing *typing, bool line_waits, char *bytes, u32 room)
{
	u32 count;

	if (typing->sent == typing->count) {
		if (line_waits && typing->on_screen) {
			compose(typing, 0);
			typing->stale = typing->length > 0;
		} else if (!line_waits && typing->stale) {
			compose(typing, typing->length);
			typing->stale = false;
		}
	}
	count = MIN(typing->count - typing->sent, room);
	memcpy(bytes, typing->screen + typing->sent, count);
	return count;
}

void typing_sent(struct typing *typing, u32 count)
{
	typing->sent += count;
}
