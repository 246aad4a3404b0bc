/* See command.h. A command is its row below; its usage says how many words it has. */
#include "kernel/command.h"

#include <stdio.h>
#include <string.h>

#include <abi/balloon_control.h>
#include <abi/tmem_control.h>

#include "kernel/core/log.h"

#define WORDS_MAX  4u
#define WEIGHT_MAX 65535u

/* What stands behind the command's name: how many words at least and at most. */
struct row {
	const char *usage; /* the name comes first */
	const char *help;
	u8 least, most;
};

static const struct row rows[COMMANDS] = {
	[COMMAND_HELP] = {"help", "this list", 0, 0},
	[COMMAND_GUESTS] = {"guests", "a line for each guest", 0, 0},
	[COMMAND_GUEST] = {"guest GUEST", "all about one", 1, 1},
	[COMMAND_CONSOLE] = {"console GUEST", "what is typed goes to it; ctrl-] comes back", 1, 1},
	[COMMAND_SHUTDOWN] = {"shutdown GUEST|all", "presses its power button", 1, 1},
	[COMMAND_STOP] = {"stop GUEST", "ends it at once, as if its power failed", 1, 1},
	[COMMAND_START] = {"start GUEST", "starts it again when it has ended", 1, 1},
	[COMMAND_RESTART] = {"restart GUEST", "stops it and starts it again", 1, 1},
	[COMMAND_POOL] = {"pool", "what tmem holds", 0, 0},
	[COMMAND_FREEZE] = {"freeze GUEST", "its puts into tmem are refused", 1, 1},
	[COMMAND_THAW] = {"thaw GUEST", "and taken again", 1, 1},
	[COMMAND_WEIGHT] = {"weight GUEST 1..65535", "its weight in the pool", 2, 2},
	[COMMAND_CAP] = {"cap GUEST precache|preswap SIZE|none", "how much it may have there", 3,
		3},
	[COMMAND_POLICY] = {"policy [NAME]", "which policy moves memory, or another one", 0, 1},
	[COMMAND_LOG] = {"log [LEVEL]", "what is logged: error, warn, info, debug", 0, 1},
	[COMMAND_AUDIT] = {"audit", "recounts all frames; guests wait meanwhile", 0, 0},
	[COMMAND_POWEROFF] = {"poweroff", "stops all guests, then the machine", 0, 0},
};

const char *const command_policies[] = {
	[BALLOON_CONTROL_REFAULT] = "refault",
	[BALLOON_CONTROL_STATIC] = "static",
	[BALLOON_CONTROL_SELFBALLOON] = "selfballoon",
	[BALLOON_CONTROL_SHARES] = "shares",
	[BALLOON_CONTROL_ALTERNATE] = "alternate",
	[BALLOON_CONTROL_POLICIES] = NULL,
};

const char *const command_levels[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
	NULL,
};

const char *command_usage(enum command_kind kind)
{
	return rows[kind].usage;
}

const char *command_help(enum command_kind kind)
{
	return rows[kind].help;
}

/* Cuts @line at its blanks; how many words there are, of which the first WORDS_MAX + 1 are in
 * @words. */
static unsigned split(char *line, char **words)
{
	unsigned count = 0;

	for (;;) {
		while (*line == ' ')
			*line++ = '\0';
		if (!*line)
			return count;
		if (count <= WORDS_MAX)
			words[count] = line;
		count++;
		while (*line && *line != ' ')
			line++;
	}
}

/* Whether @word is the first word of @usage. */
static bool is_named(const char *usage, const char *word)
{
	size_t length = strlen(word);

	return strncmp(usage, word, length) == 0 && (!usage[length] || usage[length] == ' ');
}

/* Digits only; false beyond @limit too. */
static bool parse_number(const char *word, const char **end, u64 limit, u64 *value)
{
	const char *at = word;

	for (*value = 0; *at >= '0' && *at <= '9'; at++) {
		*value = *value * 10 + (u64)(*at - '0');
		if (*value > limit)
			return false;
	}
	*end = at;
	return at != word;
}

/* As in the manifest: bytes, or with K, M, G; to pages. */
static bool parse_size(const char *word, u64 *pages)
{
	static const char units[] = "KMG";
	const char *end, *unit;
	u64 value;

	if (strcmp(word, "none") == 0) {
		*pages = TMEM_UNLIMITED;
		return true;
	}
	if (!parse_number(word, &end, GIB(1), &value))
		return false;
	if (*end) {
		unit = strchr(units, *end);
		if (!unit || end[1])
			return false;
		value <<= 10 * (u64)(unit - units + 1);
	}
	*pages = value >> PAGE_SHIFT;
	return value % PAGE_SIZE == 0;
}

static bool choose(const char *word, const char *const *names, u64 *value)
{
	for (*value = 0; names[*value]; ++*value)
		if (strcmp(word, names[*value]) == 0)
			return true;
	return false;
}

/* The words behind the guest's name, or behind the command where there is none; the one that is not
 * valid, or NULL. @valid says what would be. */
static const char *parse_values(char **words, struct command *command, const char **valid)
{
	const char *end;

	switch (command->kind) {
	case COMMAND_WEIGHT:
		*valid = "a number from 1 to 65535";
		return parse_number(words[2], &end, WEIGHT_MAX, &command->value) && !*end &&
				       command->value
			       ? NULL
			       : words[2];
	case COMMAND_CAP:
		*valid = "precache or preswap";
		command->persistent = strcmp(words[2], "preswap") == 0;
		if (!command->persistent && strcmp(words[2], "precache") != 0)
			return words[2];
		*valid = "none, or a size of whole pages, as 16M";
		return parse_size(words[3], &command->value) ? NULL : words[3];
	case COMMAND_POLICY:
		*valid = "refault, static, selfballoon, shares or alternate";
		return choose(words[1], command_policies, &command->value) ? NULL : words[1];
	case COMMAND_LOG:
		*valid = "error, warn, info or debug";
		return choose(words[1], command_levels, &command->value) ? NULL : words[1];
	default:
		command->guest = words[1];
		return NULL;
	}
}

bool command_parse(char *line, struct command *command, char *error, unsigned room)
{
	char *words[WORDS_MAX + 1];
	unsigned count = split(line, words), kind = 0;
	const char *valid, *wrong;

	*command = (struct command){.value = COMMAND_NO_VALUE};
	if (count == 0) {
		sniprintf(error, room, "an empty line; \"help\" lists the commands");
		return false;
	}
	while (kind < COMMANDS && !is_named(rows[kind].usage, words[0]))
		kind++;
	if (kind == COMMANDS) {
		sniprintf(error, room, "unknown command \"%s\"; \"help\" lists those there are",
			words[0]);
		return false;
	}
	command->kind = (enum command_kind)kind;
	if (count - 1 < rows[kind].least || count - 1 > rows[kind].most) {
		sniprintf(error, room, "%s: %s; it is: %s", words[0],
			count - 1 < rows[kind].least ? "a word is missing" : "too many words",
			rows[kind].usage);
		return false;
	}
	if (kind == COMMAND_WEIGHT || kind == COMMAND_CAP)
		command->guest = words[1];
	wrong = count > 1 ? parse_values(words, command, &valid) : NULL;
	if (wrong)
		sniprintf(error, room, "%s: \"%s\" is not %s", words[0], wrong, valid);
	return !wrong;
}
