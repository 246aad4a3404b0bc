/*
 * Manifests as text for tests of the parser, with what it said of them. To be included after
 * cmocka.h.
 */
#ifndef FAKE_MANIFEST_TEXT_H
#define FAKE_MANIFEST_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manifest/manifest.h"

static struct manifest manifest;
static bool fatal;
static char messages[65536];
static unsigned reported;

static inline void collect(void *argument, unsigned line, const char *message)
{
	size_t used = strlen(messages);

	assert_ptr_equal(argument, messages);
	assert_true(used + strlen(message) + 16 < sizeof(messages));
	snprintf(messages + used, sizeof(messages) - used, "%u: %s\n", line, message);
	reported++;
}

/* The document goes into a block of exactly its size, so that the sanitizer sees any read beyond.
 */
static inline unsigned parse_bytes(const char *text, size_t length)
{
	char *copy = malloc(length ? length : 1);
	unsigned errors;

	assert_non_null(copy);
	memcpy(copy, text, length);
	messages[0] = '\0';
	reported = 0;
	errors = manifest_parse(copy, length, &manifest, &fatal, collect, messages);
	free(copy);
	assert_int_equal(errors, reported);
	return errors;
}

static inline unsigned parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

/* A guest that is complete. */
#define GUEST "[[guest]]\nname = \"web\"\nkernel = \"web.elf\"\nmemory_max = \"16M\"\n"

#endif
