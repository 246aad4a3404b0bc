/*
 * See command_line.h.
 */
#include "guest-shim/command_line.h"

#include <abi/errno.h>
#include <abi/platform.h>
#include <string.h>

#define SWAPPINESS_DEFAULT 60
#define SWAPPINESS_MAX     200

/* A number in decimal or 0x notation that ends at @end or at the string's end; false if it is none
 * or exceeds 32 bits. */
static bool number_parse(const char **text, char end, u32 *value)
{
	const char *p = *text;
	unsigned base = 10;
	u64 sum = 0;

	if (p[0] == '0' && p[1] == 'x') {
		base = 16;
		p += 2;
	}
	if (!*p || *p == end)
		return false;
	for (; *p && *p != end; p++) {
		unsigned digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned)(*p - '0');
		else if (base == 16 && *p >= 'a' && *p <= 'f')
			digit = (unsigned)(*p - 'a') + 10;
		else
			return false;
		sum = sum * base + digit;
		if (sum > UINT32_MAX)
			return false;
	}
	*value = (u32)sum;
	*text = *p ? p + 1 : p;
	return true;
}

static bool whole_number(const char *text, u32 low, u32 high, u32 *value)
{
	return number_parse(&text, 0, value) && *value >= low && *value <= high;
}

static bool tmem_parse(const char *value, struct options *options)
{
	bool on = !strcmp(value, "on");

	options->precache = on || !strcmp(value, "precache");
	options->preswap = on || !strcmp(value, "preswap");
	return options->precache || options->preswap || !strcmp(value, "off");
}

static bool switch_parse(const char *value, bool *on)
{
	*on = !strcmp(value, "on");
	return *on || !strcmp(value, "off");
}

static bool console_parse(const char *value, struct options *options)
{
	options->virtio_console = !strcmp(value, "virtio");
	return options->virtio_console || !strcmp(value, "hypercall");
}

static bool virtio_parse(const char *value, struct options *options)
{
	const char *p = value;

	return number_parse(&p, ',', &options->virtio_base) &&
	       number_parse(&p, ',', &options->virtio_stride) &&
	       number_parse(&p, ',', &options->virtio_gsi) && !*p && p[-1] != ',' &&
	       options->virtio_base % 4 == 0 && options->virtio_stride >= 0x200 &&
	       options->virtio_gsi < PLATFORM_IOAPIC_PINS;
}

/* What a word is to the shim: 1 an option, 0 none of its own, -EINVAL one with a bad value. */
static int option_parse(const char *word, struct options *options)
{
	bool valid;

	if (!strncmp(word, "tmem=", 5))
		valid = tmem_parse(word + 5, options);
	else if (!strncmp(word, "filter=", 7))
		valid = switch_parse(word + 7, &options->filter);
	else if (!strncmp(word, "flip=", 5))
		valid = switch_parse(word + 5, &options->flip);
	else if (!strncmp(word, "volatile=", 9))
		valid = switch_parse(word + 9, &options->volatiles);
	else if (!strncmp(word, "report=", 7))
		valid = switch_parse(word + 7, &options->report);
	else if (!strncmp(word, "console=", 8))
		valid = console_parse(word + 8, options);
	else if (!strncmp(word, "swappiness=", 11))
		valid = whole_number(word + 11, 0, SWAPPINESS_MAX, &options->swappiness);
	else if (!strncmp(word, "tsc_khz=", 8))
		valid = whole_number(word + 8, 1, UINT32_MAX, &options->tsc_khz);
	else if (!strncmp(word, "virtio=", 7))
		valid = virtio_parse(word + 7, options);
	else
		return 0;
	return valid ? 1 : -SLUICE_EINVAL;
}

static char *word_next(char **cursor)
{
	char *word = *cursor;
	char *end;

	while (*word == ' ' || *word == '\t')
		word++;
	if (!*word)
		return NULL;
	for (end = word; *end && *end != ' ' && *end != '\t'; end++)
		;
	*cursor = *end ? end + 1 : end;
	*end = 0;
	return word;
}

int command_line_parse(char *line, char *name, struct options *options, const char **bad)
{
	bool only_arguments = false;
	char *word;

	*options = (struct options){
		.precache = true,
		.preswap = true,
		.filter = true,
		.report = true,
		.swappiness = SWAPPINESS_DEFAULT,
		.virtio_base = PLATFORM_VIRTIO_BASE,
		.virtio_stride = PLATFORM_VIRTIO_STRIDE,
		.virtio_gsi = PLATFORM_VIRTIO_GSI,
		.argc = 1,
	};
	options->argv[0] = name;
	while ((word = word_next(&line))) {
		int kind = only_arguments ? 0 : option_parse(word, options);

		*bad = word;
		if (kind < 0)
			return kind;
		if (kind > 0)
			continue;
		if (!only_arguments && !strcmp(word, "--")) {
			only_arguments = true;
			continue;
		}
		if (options->argc == ARGUMENTS_MAX)
			return -SLUICE_EINVAL;
		options->argv[options->argc++] = word;
	}
	/* Each stands for the other: a page that may be discarded is not put, too. */
	if (options->volatiles)
		options->precache = false;
	*bad = NULL;
	return 0;
}
