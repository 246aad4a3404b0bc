/* Messages of the parser, composed without a formatter: every piece is checked by the compiler. */
#include "manifest/message.h"

#include <string.h>

#define SLICE_SHOWN 48

static void put(struct message *message, char c)
{
	if (message->length < MESSAGE_MAX - 1) {
		message->text[message->length++] = c;
		message->text[message->length] = '\0';
	}
}

void message_text(struct message *message, const char *text)
{
	while (*text)
		put(message, *text++);
}

void message_number(struct message *message, u64 number)
{
	char digits[20];
	unsigned count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	while (count--)
		put(message, digits[count]);
}

void message_size(struct message *message, u64 bytes)
{
	static const char suffixes[] = {'K', 'M', 'G'};
	unsigned steps = 0;

	while (steps < ARRAY_SIZE(suffixes) && bytes != 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		steps++;
	}
	message_number(message, bytes);
	if (steps)
		put(message, suffixes[steps - 1]);
}

void message_slice(struct message *message, struct toml_slice slice)
{
	for (u64 i = 0; i < slice.length && i < SLICE_SHOWN; i++)
		put(message, (unsigned char)slice.text[i] < 0x20 || slice.text[i] == 0x7f
				     ? '?'
				     : slice.text[i]);
	if (slice.length > SLICE_SHOWN)
		message_text(message, "...");
}

void message_valid(struct message *message, const struct key *key)
{
	switch (key->type) {
	case KEY_NAME:
		message_text(message, "1 to 31 of the characters a-z A-Z 0-9 _ - .");
		break;
	case KEY_MODULE:
		message_text(message, "a module's name, 1 to 31 ASCII characters without blanks");
		break;
	case KEY_TEXT:
		message_text(message, "a string of at most 255 bytes");
		break;
	case KEY_SIZE:
		message_text(
			message, "a size such as \"4096K\" or \"64M\", a multiple of 4K from ");
		message_size(message, key->min);
		message_text(message, " to ");
		message_size(message, key->max);
		break;
	case KEY_NUMBER:
		message_text(message, "an integer from ");
		message_number(message, key->min);
		message_text(message, " to ");
		message_number(message, key->max);
		break;
	case KEY_BOOLEAN:
		message_text(message, "true or false");
		break;
	case KEY_CHOICE:
		for (u64 i = key->min; i <= key->max; i++) {
			message_text(message, i == key->min ? "\"" : ", \"");
			message_text(message, key->choices[i]);
			message_text(message, "\"");
		}
		break;
	case KEY_UUID:
		message_text(
			message, "\"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\" of hexadecimal digits");
		break;
	case KEY_CPUS:
		message_text(message, "an array of different CPU numbers from ");
		message_number(message, key->min);
		message_text(message, " to ");
		message_number(message, key->max);
		break;
	}
}
