/* Any bytes as what an operator types: lines keep their bounds, what is understood is valid, what
 * is not has a message, and of what is shown no escape sequence is cut. */
#include <string.h>

#include <abi/balloon_control.h>
#include <abi/tmem_control.h>

#include "kernel/command.h"
#include "kernel/core/log.h"
#include "kernel/core/typing.h"
#include "kernel/line_edit.h"
#include "tests/fuzz/fuzz.h"

#define ERROR_MAX 160

static void check_command(const struct command *command, const char *text)
{
	bool names_guest = false, has_value = command->value != COMMAND_NO_VALUE;

	REQUIRE(command->kind < COMMANDS);
	switch (command->kind) {
	case COMMAND_WEIGHT:
		REQUIRE(command->value >= 1 && command->value <= 65535);
		names_guest = true;
		break;
	case COMMAND_CAP:
		REQUIRE(command->value == TMEM_UNLIMITED || command->value <= GIB(1) << 18);
		names_guest = true;
		break;
	case COMMAND_POLICY:
		REQUIRE(!has_value || command->value < BALLOON_CONTROL_POLICIES);
		break;
	case COMMAND_LOG:
		REQUIRE(!has_value || command->value <= LOG_DEBUG);
		break;
	case COMMAND_GUEST:
	case COMMAND_CONSOLE:
	case COMMAND_STOP:
	case COMMAND_SHUTDOWN:
	case COMMAND_FREEZE:
	case COMMAND_THAW:
		names_guest = true;
		break;
	default:
		break;
	}
	REQUIRE(names_guest == (command->guest != NULL));
	if (names_guest) {
		REQUIRE(command->guest > text && command->guest < text + LINE_EDIT_MAX);
		REQUIRE(command->guest[0] && !strchr(command->guest, ' '));
	}
}

static void enter(struct line_edit *line)
{
	char error[ERROR_MAX] = "";
	struct command command;

	REQUIRE(line->text[line->length] == '\0' && strlen(line->text) == line->length);
	if (command_parse(line->text, &command, error, sizeof(error)))
		check_command(&command, line->text);
	else
		REQUIRE(error[0] && memchr(error, '\0', sizeof(error)));
	line_clear(line);
}

/* Sends some, and follows what a terminal would make of it: the text behind the last erasure. */
static void show(struct typing *typing, bool line_waits, u32 room)
{
	static char sequence[TYPING_ERASE_LENGTH];
	static u32 inside;
	char bytes[16];
	u32 count = typing_next(typing, line_waits, bytes, room);

	REQUIRE(count <= room && count <= sizeof(bytes));
	for (u32 i = 0; i < count; i++) {
		if (bytes[i] == '\r')
			inside = 0;
		if (bytes[i] != '\r' && inside == TYPING_ERASE_LENGTH) {
			REQUIRE(bytes[i] >= ' ' && bytes[i] <= '~');
			continue;
		}
		sequence[inside++] = bytes[i];
		REQUIRE(memcmp(sequence, TYPING_ERASE, inside) == 0);
	}
	/* A line of the log comes only behind a whole sequence. */
	if (!count)
		REQUIRE(inside == 0 || inside == TYPING_ERASE_LENGTH);
	typing_sent(typing, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line_edit line = {0};
	static struct typing typing;

	for (size_t i = 0; i < size; i++) {
		enum line_event event = line_type(&line, data[i]);

		REQUIRE(line.length <= LINE_EDIT_MAX);
		if (event == LINE_ENTERED)
			enter(&line);
		if (event != LINE_SAME)
			typing_set(&typing, line.text, line.length);
		show(&typing, data[i] & 1, data[i] % 16 + 1);
	}
	/* Everything comes to rest. */
	for (unsigned i = 0; i < 100 && typing_is_due(&typing); i++)
		show(&typing, false, 16);
	REQUIRE(!typing_is_due(&typing));
	return 0;
}
