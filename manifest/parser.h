/*
 * The state of one parse, and its messages: each begins with the guest that it is about, and is
 * charged to it.
 */
#ifndef MANIFEST_PARSER_H
#define MANIFEST_PARSER_H

#include "manifest/manifest.h"
#include "manifest/message.h"
#include "manifest/schema.h"
#include "manifest/toml.h"

/* The table that lines belong to at the moment. */
struct open_table {
	const struct table *table; /* NULL: unknown or broken, its keys are read over */
	void *record;
	unsigned line;
	unsigned key_lines[TABLE_KEYS_MAX]; /* 0 = key not seen */
	bool key_good[TABLE_KEYS_MAX];      /* its value was valid */
};

struct parser {
	struct toml toml;
	struct manifest *manifest;
	manifest_report report;
	void *argument;
	unsigned errors;
	bool fatal;

	unsigned table_lines[TABLE_COUNT]; /* of [machine], [tmem], [balloon]; 0 = not seen */
	/* The [[guest]] that errors are charged to, and its own keys while its disks and shared
	 * pools are open. */
	struct guest_config *guest;   /* NULL outside guests, and beyond the maximum */
	struct toml_slice guest_name; /* with its quotation marks; empty if it has none */
	unsigned memory_line;         /* of [balloon] memory, if it is there and valid */
	unsigned guests_seen;         /* also those beyond the maximum */
	bool in_guest;                /* lines belong to guest number guests_seen */
	struct open_table guest_table;
	struct open_table other; /* any other table */
	struct open_table *open;
	struct message message;
};

/* Begins a message with whom it is about. */
struct message *parser_begin(struct parser *p);
/* Sends the message that parser_begin() began, and charges it: to the open guest, or to the whole
 * manifest. */
void parser_send(struct parser *p, unsigned line);

/* The two together: @text alone, "...WHAT...", or "... line N". */
void parser_complain(struct parser *p, unsigned line, const char *text);
void parser_complain_about(struct parser *p, unsigned line, const char *before,
	struct toml_slice what, const char *after);
void parser_complain_with_line(
	struct parser *p, unsigned line, const char *text, unsigned other_line);

#endif
