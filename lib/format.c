/*
 * Formatting for the log and BUG (lib/format.h): no allocation, no floating point, no locale.
 */
#include "lib/format.h"

/* Where the text goes; @length counts what does not fit, too. */
struct text {
	char *to;
	size_t room; /* for characters */
	size_t length;
};

/* What stands between % and the letter. */
struct conversion {
	bool left, zeros, prefix;
	int width, precision; /* precision: -1 if there is none */
	int size;             /* of the argument in bytes */
};

static void put(struct text *text, char c)
{
	if (text->length < text->room)
		text->to[text->length] = c;
	text->length++;
}

static void put_times(struct text *text, char c, int times)
{
	while (times-- > 0)
		put(text, c);
}

/* @sign, with zeros after it, and @body, brought to the width. */
static void put_field(struct text *text, const struct conversion *conversion, const char *sign,
	const char *body, int length)
{
	int missing = conversion->width - length;
	bool zeros = conversion->zeros && !conversion->left;

	for (const char *c = sign; *c; c++)
		missing--;
	if (!conversion->left && !zeros)
		put_times(text, ' ', missing);
	while (*sign)
		put(text, *sign++);
	if (zeros)
		put_times(text, '0', missing);
	while (length-- > 0)
		put(text, *body++);
	if (conversion->left)
		put_times(text, ' ', missing);
}

static void put_number(struct text *text, const struct conversion *conversion, const char *sign,
	u64 number, u64 base, char ten)
{
	char digits[20];
	char *first = digits + sizeof(digits);

	do {
		unsigned digit = (unsigned)(number % base);

		*--first = (char)(digit < 10 ? '0' + digit : (unsigned)ten + digit - 10);
		number /= base;
	} while (number);
	put_field(text, conversion, sign, first, (int)(digits + sizeof(digits) - first));
}

static void put_string(struct text *text, const struct conversion *conversion, const char *string)
{
	int length = 0;

	if (!string)
		string = "(null)";
	while (length != conversion->precision && string[length])
		length++;
	put_field(text, conversion, "", string, length);
}

/* A number or *, in which case it is @argument. */
static const char *read_number(const char *at, int *number, int argument)
{
	*number = 0;
	if (*at == '*') {
		*number = argument;
		return at + 1;
	}
	while (*at >= '0' && *at <= '9')
		*number = *number * 10 + *at++ - '0';
	return at;
}

static const char *read_flags(const char *at, struct conversion *conversion)
{
	for (;; at++) {
		if (*at == '-')
			conversion->left = true;
		else if (*at == '0')
			conversion->zeros = true;
		else if (*at == '#')
			conversion->prefix = true;
		else
			return at;
	}
}

static const char *read_size(const char *at, struct conversion *conversion)
{
	conversion->size = sizeof(int);
	for (; *at == 'h'; at++)
		conversion->size /= 2;
	for (; *at == 'l' || *at == 'z'; at++)
		conversion->size = sizeof(long);
	return at;
}

/* An argument of so many bytes. Each was passed in eight, of which the upper may hold anything
 * (System V ABI for x86-64, 3.5.7). */
static u64 cut(u64 value, int size, bool is_signed)
{
	int unused = 64 - 8 * size;

	return is_signed ? (u64)((s64)(value << unused) >> unused) : value << unused >> unused;
}

int format_text(char *to, size_t room, const char *format, va_list arguments)
{
	struct text text = {to, room ? room - 1 : 0, 0};
	va_list rest;

	va_copy(rest, arguments);
	while (*format) {
		struct conversion conversion = {.precision = -1};
		const char *at = format + 1;
		u64 value;
		char c;

		if (*format != '%') {
			put(&text, *format++);
			continue;
		}
		at = read_flags(at, &conversion);
		at = read_number(at, &conversion.width, *at == '*' ? va_arg(rest, int) : 0);
		if (*at == '.') {
			at++;
			at = read_number(
				at, &conversion.precision, *at == '*' ? va_arg(rest, int) : 0);
		}
		at = read_size(at, &conversion);
		switch (*at) {
		case 'c':
			c = (char)va_arg(rest, int);
			put_field(&text, &conversion, "", &c, 1);
			break;
		case 's':
			put_string(&text, &conversion, va_arg(rest, const char *));
			break;
		case 'd':
		case 'i':
			value = cut(va_arg(rest, u64), conversion.size, true);
			put_number(&text, &conversion, (s64)value < 0 ? "-" : "",
				(s64)value < 0 ? -value : value, 10, 'a');
			break;
		case 'p':
			conversion.size = sizeof(void *);
			conversion.prefix = true;
			/* fall through */
		case 'u':
		case 'x':
		case 'X':
			value = cut(va_arg(rest, u64), conversion.size, false);
			put_number(&text, &conversion,
				conversion.prefix && value && *at != 'u' ? "0x" : "", value,
				*at == 'u' ? 10 : 16, *at == 'X' ? 'A' : 'a');
			break;
		case '%':
			put(&text, '%');
			break;
		default:
			/* Not one of ours: the text says so by itself. */
			put(&text, '%');
			at = format;
		}
		format = at + 1;
	}
	va_end(rest);
	if (room)
		to[MIN(text.length, text.room)] = 0;
	return (int)text.length;
}
