/*
 * The files of the data disk as the applications see them: a list in the order of the archive, read
 * whole or in parts.
 */
#ifndef APPS_CORPUS_H
#define APPS_CORPUS_H

#include <stddef.h>
#include <stdint.h>

struct document {
	const char *name; /* the shim's */
	uint32_t bytes;
};

struct corpus {
	struct document *documents;
	uint32_t count;
	uint64_t bytes; /* sum */
};

/* Lists every regular file of the data disk. Ends the program with a message if there is none. */
void corpus_open(struct corpus *corpus);
/* Reads @count bytes of a document from @offset; ends the program with a message if they are not
 * there. */
void corpus_read(
	const struct corpus *corpus, uint32_t document, uint32_t offset, void *to, uint32_t count);

#endif
