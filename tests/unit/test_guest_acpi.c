/*
 * A guest's ACPI tables: what they say, their checksums, that the largest fit, and what Intel's
 * disassembler (Debian's acpica-tools) makes of them.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <abi/platform.h>

#include "arch/x86/guest/acpi_tables.h"
#include "arch/x86/guest/aml.h"

#define ADDRESS 0xe0000u

static u8 *tables;
static char folder[] = "/tmp/sluice-acpi-XXXXXX";

static int setup(void **state)
{
	(void)state;
	/* A heap block of its exact size, so that AddressSanitizer sees a write beyond it. */
	tables = calloc(1, ACPI_TABLES_BYTES);
	return tables ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(tables);
	return 0;
}

static void write_tables(unsigned cpus, u32 slots)
{
	struct acpi_contents contents = {cpus, slots};

	memset(tables, 0, ACPI_TABLES_BYTES);
	assert_true(acpi_write_tables(tables, ADDRESS, &contents));
}

static u64 number(const u8 *at, unsigned bytes)
{
	u64 value = 0;

	memcpy(&value, at, bytes);
	return value;
}

static void assert_sum(const u8 *at, u32 bytes)
{
	u8 sum = 0;

	for (u32 i = 0; i < bytes; i++)
		sum = (u8)(sum + at[i]);
	assert_int_equal(sum, 0);
}

/* The table at @address: inside of what was written, aligned, with a good checksum. */
static const u8 *table_at(u64 address, const char *signature)
{
	const u8 *table = tables + (address - ADDRESS);
	u32 length;

	assert_in_range(address, ADDRESS, ADDRESS + ACPI_TABLES_BYTES - 36);
	assert_int_equal(address % 8, 0);
	assert_memory_equal(table, signature, 4);
	length = (u32)number(table + 4, 4);
	assert_in_range(length, 36, ADDRESS + ACPI_TABLES_BYTES - address);
	assert_sum(table, length);
	return table;
}

static const u8 *xsdt(void)
{
	assert_memory_equal(tables, "RSD PTR ", 8);
	assert_sum(tables, 20);
	assert_sum(tables, 36);
	assert_int_equal(tables[15], 2);
	assert_int_equal(number(tables + 20, 4), 36);
	return table_at(number(tables + 24, 8), "XSDT");
}

static const u8 *fadt(void)
{
	return table_at(number(xsdt() + 36, 8), "FACP");
}

static const u8 *madt(void)
{
	return table_at(number(xsdt() + 44, 8), "APIC");
}

static const u8 *dsdt(void)
{
	assert_int_equal(number(fadt() + 140, 8), number(fadt() + 40, 4));
	return table_at(number(fadt() + 140, 8), "DSDT");
}

static void fadt_says_how_to_power_off_and_reset(void **state)
{
	const u8 *table;

	(void)state;
	write_tables(1, 1);
	table = fadt();
	assert_int_equal(table[8], 6);
	assert_int_equal(number(table + 4, 4), 276);
	assert_true(number(table + 112, 4) & BIT(20)); /* hardware-reduced */
	assert_true(number(table + 112, 4) & BIT(10)); /* the reset register is there */
	/* Generic addresses: I/O space, 8 bits, from bit 0, byte accesses. */
	assert_int_equal(number(table + 116, 4), 0x01000801);
	assert_int_equal(number(table + 120, 8), PLATFORM_RESET_PORT);
	assert_int_equal(table[128], 0xfe);
	assert_int_equal(number(table + 244, 4), 0x01000801);
	assert_int_equal(number(table + 248, 8), PLATFORM_SLEEP_PORT);
	assert_int_equal(number(table + 256, 4), 0x01000801);
	assert_int_equal(number(table + 260, 8), PLATFORM_SLEEP_PORT + 1);
	for (unsigned i = 148; i < 244; i++)
		assert_int_equal(table[i], 0); /* no fixed hardware */
}

static void madt_names_every_processor(void **state)
{
	(void)state;
	for (unsigned cpus = 1; cpus <= 8; cpus++) {
		const u8 *table, *at;

		write_tables(cpus, 0);
		table = madt();
		assert_int_equal(number(table + 4, 4), 44 + 8 * cpus + 12);
		assert_int_equal(number(table + 36, 4), PLATFORM_LAPIC_BASE);
		assert_int_equal(number(table + 40, 4), 0); /* no 8259 */
		at = table + 44;
		for (unsigned i = 0; i < cpus; i++, at += 8) {
			assert_int_equal(number(at, 2), 8 << 8 | 0);
			assert_int_equal(at[2], i);
			assert_int_equal(at[3], i);
			assert_int_equal(number(at + 4, 4), 1);
		}
		assert_int_equal(number(at, 2), 12 << 8 | 1);
		assert_int_equal(number(at + 4, 4), PLATFORM_IOAPIC_BASE);
		assert_int_equal(number(at + 8, 4), 0);
	}
}

static bool contains(const u8 *table, const char *bytes, size_t count)
{
	return memmem(table, number(table + 4, 4), bytes, count) != NULL;
}

static void dsdt_names_the_devices_that_are_there(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 200; n++) {
		u32 slots = (u32)(n < PLATFORM_VIRTIO_SLOTS ? 1u << n : n * 2654435761u) & 0xffff;
		const u8 *table;

		write_tables(2, slots);
		table = dsdt();
		for (unsigned slot = 0; slot < PLATFORM_VIRTIO_SLOTS; slot++) {
			char name[] = {'V', 'R', '0', "0123456789ABCDEF"[slot]};
			u32 window = PLATFORM_VIRTIO_BASE + slot * PLATFORM_VIRTIO_STRIDE;

			assert_int_equal(contains(table, name, 4), slots >> slot & 1);
			assert_int_equal(contains(table, (char *)&window, 4), slots >> slot & 1);
		}
		assert_true(contains(table, "\x0dPNP0501", 9));
		assert_true(contains(table, "_S5_\x12", 5));
	}
}

/* ---- The second opinion
 * -------------------------------------------------------------------------- */

/* Has iasl disassemble @table; what it wrote, without white space, to be freed. */
static char *disassembled(const u8 *table, const char *name)
{
	char path[128], command[512];
	FILE *file;
	char *text = calloc(1, 1 << 16), *to = text;
	int c;

	assert_non_null(text);
	snprintf(path, sizeof(path), "%s/%s.aml", folder, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(table, number(table + 4, 4), 1, file), 1);
	assert_int_equal(fclose(file), 0);
	snprintf(command, sizeof(command),
		"cd %s && iasl -d %s.aml >%s.log 2>&1 && ! grep -iE 'error|warning|invalid' %s.log "
		"%s.dsl",
		folder, name, name, name, name);
	if (system(command) != 0)
		fail_msg("iasl (Debian package acpica-tools) does not like %s", path);
	snprintf(path, sizeof(path), "%s/%s.dsl", folder, name);
	file = fopen(path, "r");
	assert_non_null(file);
	while ((c = fgetc(file)) != EOF && to < text + (1 << 16) - 1)
		if (c != ' ' && c != '\n' && c != '\t')
			*to++ = (char)c;
	fclose(file);
	return text;
}

static void assert_says(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("iasl does not read \"%s\" but %s", what, text);
}

static void intels_disassembler_reads_the_same(void **state)
{
	char *text, command[64];

	(void)state;
	assert_non_null(mkdtemp(folder));
	write_tables(2, 0x8401);
	text = disassembled(dsdt(), "dsdt");
	assert_says(text, "Scope(\\_SB)");
	assert_says(text, "Device(COM1)");
	assert_says(text, "Name(_HID,\"PNP0501\"");
	assert_says(text, "IO(Decode16,0x03F8,//RangeMinimum0x03F8,//RangeMaximum0x01,//"
			  "Alignment0x08,//Length)");
	assert_says(text, "Interrupt(ResourceConsumer,Edge,ActiveHigh,Exclusive,,,){0x00000004,}");
	assert_says(text, "Device(PWRB){Name(_HID,");
	assert_says(text, "PNP0C0C");
	assert_says(text, "Device(GED0){Name(_HID,\"ACPI0013\"");
	assert_says(text, "Interrupt(ResourceConsumer,Edge,ActiveHigh,Exclusive,,,){0x00000015,}");
	assert_says(text, "Method(_EVT,1,NotSerialized)");
	assert_says(text, "Notify(PWRB,0x80)");
	assert_says(text, "Device(VR00)");
	assert_says(text, "Name(_HID,\"LNRO0005\"");
	assert_says(text, "Device(VR0A)");
	assert_says(text, "Name(_UID,0x0A)");
	assert_says(text,
		"Memory32Fixed(ReadWrite,0xD000A000,//AddressBase0x00001000,//AddressLength)");
	assert_says(text, "Interrupt(ResourceConsumer,Edge,ActiveHigh,Exclusive,,,){0x0000000F,}");
	assert_says(text, "Device(VR0F)");
	assert_says(text, "{0x00000014,}");
	assert_says(text, "Name(_S5,Package(0x01)//_S5_:S5SystemState{0x05})");
	free(text);
	text = disassembled(fadt(), "facp");
	assert_says(text, "HardwareReduced(V5):1");
	assert_says(text, "Valuetocausereset:FE");
	assert_says(text, "SleepControlRegister:[GenericAddressStructure]");
	assert_says(text, "Address:0000000000000600");
	free(text);
	text = disassembled(madt(), "apic");
	assert_says(text, "LocalApicID:01");
	assert_says(text, "Address:FEC00000");
	free(text);
	text = disassembled(xsdt(), "xsdt");
	free(text);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

/* ---- The emitter
 * ----------------------------------------------------------------------------------- */

static void the_largest_fit_and_a_full_buffer_is_noted(void **state)
{
	(void)state;
	write_tables(8, 0xffff);
	assert_true(number(dsdt() + 4, 4) > 600);
	for (u32 room = 0; room < 60; room++) {
		u8 *bytes = calloc(1, room + 1);
		struct aml aml = {.bytes = bytes, .room = room};
		u32 scope = aml_open_scope(&aml, "_SB_"), device = aml_open_device(&aml, "COM1");
		u32 resources;

		aml_name(&aml, "_CRS");
		resources = aml_open_resources(&aml);
		aml_memory(&aml, 1, 2);
		aml_close_resources(&aml, resources);
		aml_close(&aml, device);
		aml_close(&aml, scope);
		/* Scope 1 + 2 + 5, device 2 + 2 + 4, name 5, buffer 1 + 2 + 2, memory 12, end 2. */
		assert_int_equal(aml.full, room < 40);
		assert_int_equal(bytes[room], 0);
		free(bytes);
	}
}

static void integers_and_lengths(void **state)
{
	u8 bytes[5000];
	struct aml aml = {.bytes = bytes, .room = sizeof(bytes)};
	u32 start;

	(void)state;
	aml_integer(&aml, 255);
	aml_integer(&aml, 256);
	assert_int_equal(aml.used, 7);
	assert_memory_equal(bytes, "\x0a\xff\x0c\x00\x01\x00\x00", 7);
	start = aml_open_package(&aml, 0);
	for (unsigned i = 0; i < 1000; i++)
		aml_number(&aml, 0, 1);
	aml_close(&aml, start);
	/* The length counts itself: 2 + 1 + 1000 = 0x3eb. */
	assert_int_equal(bytes[start], 0x4b);
	assert_int_equal(bytes[start + 1], 0x3e);
}

int main(void)
{
#define ACPI_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		ACPI_TEST(fadt_says_how_to_power_off_and_reset),
		ACPI_TEST(madt_names_every_processor),
		ACPI_TEST(dsdt_names_the_devices_that_are_there),
		ACPI_TEST(intels_disassembler_reads_the_same),
		ACPI_TEST(the_largest_fit_and_a_full_buffer_is_noted),
		ACPI_TEST(integers_and_lengths),
	};

	return cmocka_run_group_tests_name("guest_acpi", tests, NULL, NULL);
}
