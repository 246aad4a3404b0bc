/* Composes the parser's messages: bounded text from pieces that the document and the schema hold.
 */
#ifndef MANIFEST_MESSAGE_H
#define MANIFEST_MESSAGE_H

#include "lib/types.h"
#include "manifest/schema.h"
#include "manifest/toml.h"

#define MESSAGE_MAX 400

struct message {
	u64 length;
	char text[MESSAGE_MAX];
};

/* Each appends; what does not fit is cut off. */
void message_text(struct message *message, const char *text);
void message_number(struct message *message, u64 number);
void message_size(struct message *message, u64 bytes); /* 64M, 5000 */
/* At most 48 bytes of a piece of the document, control characters as '?'. */
void message_slice(struct message *message, struct toml_slice slice);
/* What a value of @key may be: "1 to 1000", "4K to 1024G", ... */
void message_valid(struct message *message, const struct key *key);

#endif
