/*
 * An emitter for the little AML that a guest's DSDT needs (ACPI 6.4, chapter 20). Pure: it appends
 * to a buffer of the caller's, and notes when that is full. Packages (in the sense of 20.2.4) hold
 * up to 4 KiB, since their lengths always take two bytes.
 */
#ifndef GUEST_AML_H
#define GUEST_AML_H

#include "lib/types.h"

struct aml {
	u8 *bytes;
	u32 used, room; /* used <= room */
	bool full;      /* something did not fit, and is missing */
};

/* Raw bytes: @count of the value, little endian. */
void aml_number(struct aml *aml, u64 value, unsigned count);
void aml_bytes(struct aml *aml, const void *bytes, u32 count);

/* Each opens what a later aml_close() ends, given the result. Names are four characters; the
 * scope's stands at the root. */
u32 aml_open_scope(struct aml *aml, const char *name);
u32 aml_open_device(struct aml *aml, const char *name);
/* A method of @arguments arguments: what follows are its statements. */
u32 aml_open_method(struct aml *aml, const char *name, u8 arguments);
u32 aml_open_package(struct aml *aml, u8 elements);
void aml_close(struct aml *aml, u32 start);

/* Name (@name, ...): what follows must be one object. */
void aml_name(struct aml *aml, const char *name);
/* Notify (@name, @value), a statement. */
void aml_notify(struct aml *aml, const char *name, u8 value);
void aml_string(struct aml *aml, const char *text);
void aml_integer(struct aml *aml, u32 value);

/* A buffer of resources (ACPI 6.4, 6.4.2 and 6.4.3); its descriptors take up to 255 bytes together.
 */
u32 aml_open_resources(struct aml *aml);
void aml_memory(struct aml *aml, u32 base, u32 bytes);
void aml_ports(struct aml *aml, u16 first, u8 count);
void aml_edge_interrupt(struct aml *aml, u32 gsi);
void aml_close_resources(struct aml *aml, u32 start);

#endif
