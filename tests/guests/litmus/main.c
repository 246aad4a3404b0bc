/*
 * The litmus guest: "act [rounds]" on the command line picks what is tried (litmus.h).
 */
#include "litmus.h"

#define UNKNOWN_ACT 10000

static const struct act {
	const char *name;
	uint64_t (*run)(uint32_t rounds);
} acts[] = {
	{"filter", act_filter},
	{"window-write", act_window_write},
	{"window-tables", act_window_tables},
	{"message", act_message},
	{"races", act_races},
};

/* What stands behind @name in @line; NULL if that is not its first word. */
static const char *after(const char *line, const char *name)
{
	while (*name && *line == *name) {
		line++;
		name++;
	}
	return *name == 0 && (*line == 0 || *line == ' ') ? line : NULL;
}

static uint32_t number(const char *text)
{
	uint32_t value = 0;

	while (*text == ' ')
		text++;
	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint32_t)(*text - '0');
	return value;
}

int main(const struct start_info *info)
{
	const char *line = (const char *)(uintptr_t)info->command_line;

	for (unsigned i = 0; line && i < sizeof(acts) / sizeof(acts[0]); i++) {
		const char *rest = after(line, acts[i].name);
		uint64_t result;

		if (!rest)
			continue;
		result = acts[i].run(number(rest));
		print_value("act ended", result);
		return (int)result;
	}
	return UNKNOWN_ACT;
}
