/*
 * The operator's commands: from a line to what is asked for, or what is wrong with it. Pure; which
 * guests there are is not known here.
 */
#ifndef KERNEL_COMMAND_H
#define KERNEL_COMMAND_H

#include "lib/types.h"

enum command_kind {
	COMMAND_HELP,
	COMMAND_GUESTS,
	COMMAND_GUEST,
	COMMAND_CONSOLE,
	COMMAND_SHUTDOWN,
	COMMAND_STOP,
	COMMAND_START,
	COMMAND_RESTART,
	COMMAND_POOL,
	COMMAND_FREEZE,
	COMMAND_THAW,
	COMMAND_WEIGHT,
	COMMAND_CAP,
	COMMAND_POLICY,
	COMMAND_LOG,
	COMMAND_AUDIT,
	COMMAND_POWEROFF,
	COMMANDS
};

#define COMMAND_NO_VALUE (~0UL)

struct command {
	enum command_kind kind;
	const char *guest; /* a word of the line, or NULL; of COMMAND_SHUTDOWN maybe "all" */
	/* COMMAND_WEIGHT: 1 to 65535. COMMAND_CAP: pages, ~0 for none. COMMAND_POLICY:
	 * BALLOON_CONTROL_*. COMMAND_LOG: enum log_level. Of the last two COMMAND_NO_VALUE where
	 * only asked. */
	u64 value;
	bool persistent; /* COMMAND_CAP: of preswap, not of precache */
};

/*
 * Takes @line to words, in place: @command then points into it. False if it asks for nothing that
 * there is; @error, of @room bytes, then names the word and what would be valid.
 */
bool __must_check command_parse(char *line, struct command *command, char *error, unsigned room);

/* How it is written, and what it does. */
const char *command_usage(enum command_kind kind);
const char *command_help(enum command_kind kind);

/* The names of policies by BALLOON_CONTROL_*, and of levels by enum log_level, each ended by NULL.
 */
extern const char *const command_policies[], *const command_levels[];

#endif
