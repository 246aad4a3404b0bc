/* Turns a value of the document into the field that the schema says, or refuses it. */
#ifndef MANIFEST_CONVERT_H
#define MANIFEST_CONVERT_H

#include "lib/types.h"
#include "manifest/schema.h"
#include "manifest/toml.h"

/* Stores @value in the field of @key inside @record. False: it is not valid, the field is
 * unchanged. */
bool convert_value(
	const struct key *key, const struct toml_value *value, void *record) __must_check;

/* Sets every field of @table inside @record to its fallback. */
void convert_fallbacks(const struct table *table, void *record);

#endif
