/*
 * The reader of the TOML subset: a cursor over the document, no memory of its own. Every function
 * that can fail returns NULL, or a message that says what would have been valid at the cursor.
 */
#include "manifest/toml.h"

#include <string.h>

void toml_start(struct toml *toml, const char *text, u64 length)
{
	*toml = (struct toml){.at = text, .end = text + length, .line = 1};
}

bool toml_slice_is(struct toml_slice slice, const char *text)
{
	return strlen(text) == slice.length && memcmp(text, slice.text, slice.length) == 0;
}

/* The byte at the cursor + @offset, or -1 at the end. */
static int peek(const struct toml *toml, u64 offset)
{
	if ((u64)(toml->end - toml->at) <= offset)
		return -1;
	return (unsigned char)toml->at[offset];
}

static bool at_newline(const struct toml *toml)
{
	return peek(toml, 0) == '\n' || (peek(toml, 0) == '\r' && peek(toml, 1) == '\n');
}

static void skip_newline(struct toml *toml)
{
	toml->at += *toml->at == '\r' ? 2 : 1;
	toml->line++;
}

static void skip_blanks(struct toml *toml)
{
	while (peek(toml, 0) == ' ' || peek(toml, 0) == '\t')
		toml->at++;
}

/* After an error: to the end of the line, or of the document. */
static void skip_line(struct toml *toml)
{
	while (peek(toml, 0) != -1 && peek(toml, 0) != '\n')
		toml->at++;
	if (peek(toml, 0) == '\n')
		skip_newline(toml);
}

/*
 * The length of the character at the cursor if comments and strings may hold it, else 0: tab,
 * printable ASCII, or well-formed UTF-8 (Unicode, table 3-7: no surrogates, no overlong forms).
 */
static unsigned character_length(const struct toml *toml)
{
	int first = peek(toml, 0), second = peek(toml, 1);
	int low = 0x80, high = 0xbf;
	unsigned length;

	if (first == '\t' || (first >= 0x20 && first < 0x7f))
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		length = 2;
	else if (first >= 0xe0 && first <= 0xef)
		length = 3;
	else if (first >= 0xf0 && first <= 0xf4)
		length = 4;
	else
		return 0;

	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	if (second < low || second > high)
		return 0;
	for (unsigned i = 2; i < length; i++)
		if (peek(toml, i) < 0x80 || peek(toml, i) > 0xbf)
			return 0;
	return length;
}

static const char *read_comment(struct toml *toml)
{
	while (peek(toml, 0) != -1 && !at_newline(toml)) {
		unsigned length = character_length(toml);

		if (length == 0)
			return "a comment holds UTF-8 text without control characters";
		toml->at += length;
	}
	return NULL;
}

/* Whatever may stand after an item: blanks, a comment, and the end of the line. */
static const char *read_line_end(struct toml *toml)
{
	skip_blanks(toml);
	if (peek(toml, 0) == '#') {
		const char *error = read_comment(toml);

		if (error)
			return error;
	}
	if (peek(toml, 0) == -1)
		return NULL;
	if (!at_newline(toml))
		return "nothing but a comment may follow on this line";
	skip_newline(toml);
	return NULL;
}

static bool is_key_character(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

/* A bare key; with @dots, several joined by dots. */
static struct toml_slice read_name(struct toml *toml, bool dots)
{
	struct toml_slice name = {.text = toml->at};

	while (is_key_character(peek(toml, 0)) ||
		(dots && peek(toml, 0) == '.' && toml->at != name.text &&
			is_key_character(peek(toml, 1))))
		toml->at++;
	name.length = (u64)(toml->at - name.text);
	return name;
}

static const char *read_header(struct toml *toml, struct toml_item *item)
{
	item->kind = TOML_TABLE;
	toml->at++;
	if (peek(toml, 0) == '[') {
		item->kind = TOML_ARRAY_TABLE;
		toml->at++;
	}
	skip_blanks(toml);
	item->name = read_name(toml, true);
	if (item->name.length == 0)
		return "a table's name is made of a-z A-Z 0-9 _ - and dots";
	skip_blanks(toml);
	if (item->kind == TOML_TABLE) {
		if (peek(toml, 0) != ']')
			return "a table header is [name]";
		toml->at++;
	} else {
		if (peek(toml, 0) != ']' || peek(toml, 1) != ']')
			return "the header of an array of tables is [[name]]";
		toml->at += 2;
	}
	return read_line_end(toml);
}

static void put_character(struct toml_value *value, char c)
{
	if (value->text_length < TOML_TEXT_MAX - 1) {
		value->text[value->text_length] = c;
		value->text[value->text_length + 1] = '\0';
	}
	value->text_length++;
}

static const char *read_string(struct toml *toml, struct toml_value *value)
{
	char quote = *toml->at;

	value->type = TOML_STRING;
	if (peek(toml, 1) == quote && peek(toml, 2) == quote)
		return "a string stands on one line, between single quotation marks";
	toml->at++;
	for (;;) {
		int c = peek(toml, 0);
		unsigned length;

		if (c == quote) {
			toml->at++;
			return NULL;
		}
		if (c == -1 || at_newline(toml))
			return "a string ends with a quotation mark on the same line";
		if (c == '\\' && quote == '"') {
			int escaped = peek(toml, 1);

			if (escaped != '"' && escaped != '\\' && escaped != 't')
				return "the escapes of a string are \\\" \\\\ and \\t";
			put_character(value, escaped == 't' ? '\t' : (char)escaped);
			toml->at += 2;
			continue;
		}
		length = character_length(toml);
		if (length == 0)
			return "a string holds UTF-8 text without control characters";
		while (length--)
			put_character(value, *toml->at++);
	}
}

/* What may follow an integer or a boolean. */
static bool at_value_end(const struct toml *toml)
{
	int c = peek(toml, 0);

	return c == -1 || c == ' ' || c == '\t' || c == '#' || c == ',' || c == ']' ||
	       at_newline(toml);
}

static const char *read_integer(struct toml *toml, s64 *integer)
{
	static const char *const form = "an integer is decimal, without leading zeros";
	bool negative = peek(toml, 0) == '-';
	const char *first;
	u64 magnitude = 0;
	u64 limit = negative ? BIT(63) : BIT(63) - 1;

	if (negative || peek(toml, 0) == '+')
		toml->at++;
	first = toml->at;
	for (;;) {
		int c = peek(toml, 0);
		u64 digit;

		/* Underscores only between two digits. */
		if (c == '_' && toml->at != first && peek(toml, 1) >= '0' && peek(toml, 1) <= '9') {
			toml->at++;
			continue;
		}
		if (c < '0' || c > '9')
			break;
		if (*first == '0' && toml->at != first)
			return form;
		digit = (u64)(c - '0');
		if (magnitude > (limit - digit) / 10)
			return "an integer fits in 64 bits";
		magnitude = magnitude * 10 + digit;
		toml->at++;
	}
	if (toml->at == first || !at_value_end(toml))
		return form;
	*integer = negative ? (s64)(0 - magnitude) : (s64)magnitude;
	return NULL;
}

static const char *read_boolean(struct toml *toml, struct toml_value *value)
{
	struct toml_slice word = read_name(toml, false);

	value->type = TOML_BOOLEAN;
	value->boolean = toml_slice_is(word, "true");
	if ((!value->boolean && !toml_slice_is(word, "false")) || !at_value_end(toml)) {
		toml->at = word.text;
		return "a value is a string in quotation marks, an integer, true, false, or an "
		       "array of integers";
	}
	return NULL;
}

/* Between the elements of an array: blanks, comments and new lines. */
static const char *skip_array_space(struct toml *toml)
{
	for (;;) {
		skip_blanks(toml);
		if (at_newline(toml)) {
			skip_newline(toml);
		} else if (peek(toml, 0) == '#') {
			const char *error = read_comment(toml);

			if (error)
				return error;
		} else {
			return NULL;
		}
	}
}

static const char *read_array(struct toml *toml, struct toml_value *value)
{
	value->type = TOML_ARRAY;
	toml->at++;
	for (;;) {
		const char *error = skip_array_space(toml);
		s64 element;
		int c = peek(toml, 0);

		if (error)
			return error;
		if (c == ']')
			break;
		if (!(c >= '0' && c <= '9') && c != '+' && c != '-')
			return "an array holds integers, and ends with ]";
		error = read_integer(toml, &element);
		if (error)
			return error;
		if (value->item_count == TOML_ARRAY_MAX)
			return "an array holds at most 64 integers";
		value->items[value->item_count++] = element;
		error = skip_array_space(toml);
		if (error)
			return error;
		if (peek(toml, 0) == ']')
			break;
		if (peek(toml, 0) != ',')
			return "the elements of an array are separated by commas, and it ends with "
			       "]";
		toml->at++;
	}
	toml->at++;
	return NULL;
}

static const char *read_value(struct toml *toml, struct toml_value *value)
{
	const char *error;
	int c = peek(toml, 0);

	value->raw.text = toml->at;
	value->text[0] = '\0';
	value->text_length = 0;
	value->item_count = 0;
	if (c == '"' || c == '\'') {
		error = read_string(toml, value);
	} else if ((c >= '0' && c <= '9') || c == '+' || c == '-') {
		value->type = TOML_INTEGER;
		error = read_integer(toml, &value->integer);
	} else if (c == '[') {
		error = read_array(toml, value);
	} else {
		error = read_boolean(toml, value);
	}
	value->raw.length = (u64)(toml->at - value->raw.text);
	return error;
}

static const char *read_pair(struct toml *toml, struct toml_item *item)
{
	const char *error;

	item->kind = TOML_PAIR;
	item->name = read_name(toml, false);
	if (item->name.length == 0)
		return "a line is [table], [[array of tables]], key = value, or a comment";
	if (peek(toml, 0) == '.')
		return "a key has no dots: write it under its [table]";
	skip_blanks(toml);
	if (peek(toml, 0) != '=')
		return "a key is followed by = and a value";
	toml->at++;
	skip_blanks(toml);
	error = read_value(toml, &item->value);
	return error ? error : read_line_end(toml);
}

/* What stands at the cursor, up to the end of the line, for the message. */
static struct toml_slice rest_of_line(const struct toml *toml)
{
	struct toml_slice rest = {.text = toml->at};

	while (rest.text + rest.length < toml->end && rest.text[rest.length] != '\n' &&
		rest.text[rest.length] != '\r')
		rest.length++;
	return rest;
}

void toml_next(struct toml *toml, struct toml_item *item)
{
	item->error = NULL;
	item->is_header = false;
	for (;;) {
		skip_blanks(toml);
		item->line = toml->line;
		if (peek(toml, 0) == -1) {
			item->kind = TOML_END;
			return;
		}
		if (!at_newline(toml) && peek(toml, 0) != '#')
			break;
		item->error = read_line_end(toml);
		if (item->error)
			break;
	}
	if (!item->error) {
		item->is_header = peek(toml, 0) == '[';
		item->error = item->is_header ? read_header(toml, item) : read_pair(toml, item);
	}
	if (item->error) {
		item->kind = TOML_ERROR;
		item->line = toml->line;
		item->name = rest_of_line(toml);
		skip_line(toml);
	}
}
