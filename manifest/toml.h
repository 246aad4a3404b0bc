/*
 * Reads the strict subset of TOML that manifests are written in, one item at a time: table headers,
 * arrays of tables, and pairs of a bare key and a string, integer, boolean or array of integers.
 * What it accepts, TOML 1.0 accepts with the same meaning; duplicates are the caller's to refuse.
 * Knows no schema.
 */
#ifndef MANIFEST_TOML_H
#define MANIFEST_TOML_H

#include "lib/types.h"

#define TOML_TEXT_MAX  256 /* bytes of a string, with the terminating zero */
#define TOML_ARRAY_MAX 64

/* A piece of the document: not terminated. */
struct toml_slice {
	const char *text;
	u64 length;
};

enum toml_kind { TOML_END, TOML_TABLE, TOML_ARRAY_TABLE, TOML_PAIR, TOML_ERROR };
enum toml_type { TOML_STRING, TOML_INTEGER, TOML_BOOLEAN, TOML_ARRAY };

struct toml_value {
	enum toml_type type;
	struct toml_slice raw;    /* as it stands in the document, for messages */
	char text[TOML_TEXT_MAX]; /* TOML_STRING, decoded */
	u64 text_length;          /* what was decoded; more than fits in text if it is too long */
	s64 integer;
	bool boolean;
	s64 items[TOML_ARRAY_MAX];
	unsigned item_count;
};

struct toml_item {
	enum toml_kind kind;
	unsigned line;
	struct toml_slice
		name;      /* of the table (with its dots) or key; what was found, of an error */
	bool is_header;    /* TOML_ERROR: the broken line was a table header */
	const char *error; /* TOML_ERROR: what would have been valid */
	struct toml_value value;
};

struct toml {
	const char *at, *end;
	unsigned line;
};

/* Reads @text of @length bytes, which must stay, from its first line on. */
void toml_start(struct toml *toml, const char *text, u64 length);

/* The next item; after an error the rest of that line is skipped. At the end, TOML_END for ever. */
void toml_next(struct toml *toml, struct toml_item *item);

/* Whether the bytes of @slice are just those of @text. */
bool toml_slice_is(struct toml_slice slice, const char *text);

#endif
