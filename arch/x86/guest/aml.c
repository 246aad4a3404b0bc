/* The AML emitter: see aml.h. Encodings after ACPI 6.4, 20.2, and 6.4 for resources. */
#include "arch/x86/guest/aml.h"

#include <string.h>

#define OP_NAME       0x08
#define OP_BYTE       0x0a
#define OP_DWORD      0x0c
#define OP_STRING     0x0d
#define OP_SCOPE      0x10
#define OP_BUFFER     0x11
#define OP_PACKAGE    0x12
#define OP_METHOD     0x14
#define OP_NOTIFY     0x86
#define OP_EXT_DEVICE 0x825b /* two bytes */

#define RESOURCE_PORTS     0x47 /* I/O port descriptor, seven bytes */
#define RESOURCE_MEMORY    0x86 /* 32-bit fixed memory range */
#define RESOURCE_INTERRUPT 0x89 /* extended interrupt */
#define RESOURCE_END       0x79 /* with checksum 0: none */

#define PORTS_DECODE_16     1
#define MEMORY_WRITABLE     1
#define INTERRUPT_EDGE_HIGH 0x03 /* consumer, edge-triggered, active high, exclusive */

#define LENGTH_BYTES 2u /* of a package's length */
#define NAME_BYTES   4u

void aml_bytes(struct aml *aml, const void *bytes, u32 count)
{
	if (aml->full || count > aml->room - aml->used) {
		aml->full = true;
		return;
	}
	memcpy(aml->bytes + aml->used, bytes, count);
	aml->used += count;
}

void aml_number(struct aml *aml, u64 value, unsigned count)
{
	aml_bytes(aml, &value, count);
}

/* Room for the length, which aml_close() fills in. */
static u32 open_length(struct aml *aml)
{
	u32 start = aml->used;

	aml_number(aml, 0, LENGTH_BYTES);
	return start;
}

u32 aml_open_scope(struct aml *aml, const char *name)
{
	u32 start;

	aml_number(aml, OP_SCOPE, 1);
	start = open_length(aml);
	aml_number(aml, '\\', 1);
	aml_bytes(aml, name, NAME_BYTES);
	return start;
}

u32 aml_open_device(struct aml *aml, const char *name)
{
	u32 start;

	aml_number(aml, OP_EXT_DEVICE, 2);
	start = open_length(aml);
	aml_bytes(aml, name, NAME_BYTES);
	return start;
}

u32 aml_open_method(struct aml *aml, const char *name, u8 arguments)
{
	u32 start;

	aml_number(aml, OP_METHOD, 1);
	start = open_length(aml);
	aml_bytes(aml, name, NAME_BYTES);
	aml_number(aml, arguments, 1); /* not serialized */
	return start;
}

void aml_notify(struct aml *aml, const char *name, u8 value)
{
	aml_number(aml, OP_NOTIFY, 1);
	aml_bytes(aml, name, NAME_BYTES);
	aml_integer(aml, value);
}

u32 aml_open_package(struct aml *aml, u8 elements)
{
	u32 start;

	aml_number(aml, OP_PACKAGE, 1);
	start = open_length(aml);
	aml_number(aml, elements, 1);
	return start;
}

/* 20.2.4: bits 7-6 of the first byte count the others; its low four bits are the lowest of the
 * length. */
void aml_close(struct aml *aml, u32 start)
{
	u32 length = aml->used - start;

	if (aml->full)
		return;
	aml->bytes[start] = (u8)((LENGTH_BYTES - 1) << 6 | (length & 0xf));
	aml->bytes[start + 1] = (u8)(length >> 4);
}

void aml_name(struct aml *aml, const char *name)
{
	aml_number(aml, OP_NAME, 1);
	aml_bytes(aml, name, NAME_BYTES);
}

void aml_string(struct aml *aml, const char *text)
{
	aml_number(aml, OP_STRING, 1);
	aml_bytes(aml, text, (u32)strlen(text) + 1);
}

void aml_integer(struct aml *aml, u32 value)
{
	bool small = value <= 0xff;

	aml_number(aml, small ? OP_BYTE : OP_DWORD, 1);
	aml_number(aml, value, small ? 1 : 4);
}

/* The buffer's size is a byte, right behind the package length. */
u32 aml_open_resources(struct aml *aml)
{
	u32 start;

	aml_number(aml, OP_BUFFER, 1);
	start = open_length(aml);
	aml_integer(aml, 0);
	return start;
}

void aml_close_resources(struct aml *aml, u32 start)
{
	u32 first = start + LENGTH_BYTES + 2;

	aml_number(aml, RESOURCE_END, 2);
	if (!aml->full)
		aml->bytes[first - 1] = (u8)(aml->used - first);
	aml_close(aml, start);
}

void aml_ports(struct aml *aml, u16 first, u8 count)
{
	aml_number(aml, RESOURCE_PORTS | PORTS_DECODE_16 << 8, 2);
	aml_number(aml, first, 2); /* lowest and highest base */
	aml_number(aml, first, 2);
	aml_number(aml, 1 | count << 8, 2); /* alignment, length */
}

void aml_memory(struct aml *aml, u32 base, u32 bytes)
{
	aml_number(aml, RESOURCE_MEMORY | 9 << 8, 3); /* length of what follows */
	aml_number(aml, MEMORY_WRITABLE, 1);
	aml_number(aml, base, 4);
	aml_number(aml, bytes, 4);
}

void aml_edge_interrupt(struct aml *aml, u32 gsi)
{
	aml_number(aml, RESOURCE_INTERRUPT | 6 << 8, 3);
	aml_number(aml, INTERRUPT_EDGE_HIGH | 1 << 8, 2); /* one interrupt */
	aml_number(aml, gsi, 4);
}
