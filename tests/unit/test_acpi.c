/*
 * The ACPI reader over tables in memory: what emulators and real firmware offer, and what is
 * broken. Physical addresses are offsets into an array; everything beyond it cannot be mapped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/acpi.h"
#include "arch/x86/early.h"
#include "arch/x86/paging.h"
#include "arch/x86/port.h"

static u8 memory[16384] __aligned_to(16);
static u32 used;
static u8 rsdp[36];
static unsigned rsdp_bytes;
static char said[4096];

const void *early_rsdp(unsigned *bytes)
{
	*bytes = rsdp_bytes;
	return rsdp_bytes ? rsdp : NULL;
}

const void *paging_map_firmware(hpa_t table, u64 bytes)
{
	if (table.raw >= sizeof(memory) || bytes > sizeof(memory) - table.raw)
		return NULL;
	return memory + table.raw;
}

void log_line(int level, const char *format, ...)
{
	size_t length = strlen(said);
	va_list arguments;

	(void)level;
	va_start(arguments, format);
	vsnprintf(said + length, sizeof(said) - length, format, arguments);
	va_end(arguments);
}

static void set_sum(u8 *bytes, u32 count, u32 field)
{
	u8 sum = 0;

	bytes[field] = 0;
	for (u32 i = 0; i < count; i++)
		sum = (u8)(sum + bytes[i]);
	bytes[field] = (u8)-sum;
}

/* A table with @body behind the 36-byte header; returns its address. */
static u32 put_table(const char *signature, const void *body, u32 bytes)
{
	u32 at = used, length = 36 + bytes;

	memcpy(memory + at, signature, 4);
	memcpy(memory + at + 4, &length, 4);
	memcpy(memory + at + 36, body, bytes);
	set_sum(memory + at, length, 9);
	used = (used + length + 15) & ~15U;
	return at;
}

static void put_rsdp(u8 revision, u32 rsdt, u64 xsdt)
{
	const u32 length = 36;

	memset(rsdp, 0, sizeof(rsdp));
	memcpy(rsdp, "RSD PTR ", 8);
	rsdp[15] = revision;
	memcpy(rsdp + 16, &rsdt, 4);
	set_sum(rsdp, 20, 8);
	rsdp_bytes = 20;
	if (revision >= 2) {
		memcpy(rsdp + 20, &length, 4);
		memcpy(rsdp + 24, &xsdt, 8);
		set_sum(rsdp, 36, 32);
		rsdp_bytes = 36;
	}
}

static const u8 madt_body[] = {
	0, 0, 0xe0, 0xfe, 1, 0, 0, 0,                    /* LAPIC address, flags */
	0, 8, 0, 0, 1, 0, 0, 0,                          /* processor 0 */
	0, 8, 1, 2, 1, 0, 0, 0,                          /* id 2 */
	0, 8, 2, 4, 2, 0, 0, 0,                          /* id 4: online-capable only */
	0, 8, 3, 6, 0, 0, 0, 0,                          /* id 6: disabled */
	9, 16, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, /* id 2 again */
	0, 8, 4, 0xff, 1, 0, 0, 0,                       /* "enabled", with everybody's id */
	9, 16, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 8, 0, 0, 0, /* and so */
	9, 16, 0, 0, 0x2c, 1, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0,          /* id 300 */
	1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,                   /* IOAPIC */
	2, 10, 0, 4, 20, 0, 0, 0, 0x0f, 0,                           /* COM1 at 20, low, level */
	2, 10, 0, 0, 2, 0, 0, 0, 0, 0,                               /* the PIT: not ours */
	0x55, 4, 0, 0,                                               /* unknown: skipped */
};

static u8 fadt_body[208];

/* Registers at 0xfed00000. */
static const u8 hpet_body[] = {
	1, 0xa2, 0x86, 0x80, 0, 64, 0, 0, 0, 0, 0xd0, 0xfe, 0, 0, 0, 0, 0, 0x80, 0, 0};

static u32 put_fadt(u32 dsdt)
{
	const u32 pm1a = 0xb004, timer = 0xb008, flags = BIT(8) | BIT(10);

	memset(fadt_body, 0, sizeof(fadt_body));
	memcpy(fadt_body + 40 - 36, &dsdt, 4);
	fadt_body[48 - 36] = 0xb2;
	fadt_body[52 - 36] = 0xf1;
	memcpy(fadt_body + 64 - 36, &pm1a, 4);
	memcpy(fadt_body + 76 - 36, &timer, 4);
	memcpy(fadt_body + 112 - 36, &flags, 4);
	memcpy(fadt_body + 116 - 36, "\x01\x08\x00\x00\xf9\x0c\0\0\0\0\0\0", 12);
	fadt_body[128 - 36] = 6;
	return put_table("FACP", fadt_body, sizeof(fadt_body));
}

/* Name (_S5_, Package (4) {0x05, One, Zero, Zero}), between other AML. */
static const u8 dsdt_body[] = {0x10, 0x42, '_', 'S', '4', '_', 0x08, '_', 'S', '5', '_', 0x12, 0x07,
	0x04, 0x0a, 0x05, 0x01, 0x00, 0x00, 0x5b, 0x82};

static u32 madt_at, fadt_at, dsdt_at, root_at;

static int machine(void **state)
{
	u32 entries[4];

	(void)state;
	memset(memory, 0, sizeof(memory));
	memset(said, 0, sizeof(said));
	used = 16;
	dsdt_at = put_table("DSDT", dsdt_body, sizeof(dsdt_body));
	fadt_at = put_fadt(dsdt_at);
	madt_at = put_table("APIC", madt_body, sizeof(madt_body));
	entries[0] = 0xfffff000; /* a table nobody can map */
	entries[1] = fadt_at;
	entries[2] = madt_at;
	entries[3] = put_table("HPET", hpet_body, sizeof(hpet_body));
	root_at = put_table("RSDT", entries, sizeof(entries));
	put_rsdp(0, root_at, 0);
	return 0;
}

static void a_machine_is_understood(void **state)
{
	const struct acpi_info *info = acpi_info();

	(void)state;
	assert_int_equal(acpi_start(), 0);
	assert_int_equal(info->cpu_count, 3);
	assert_int_equal(info->apic_ids[0], 0);
	assert_int_equal(info->apic_ids[1], 2);
	assert_int_equal(info->apic_ids[2], 300);
	assert_int_equal(info->ioapic_count, 1);
	assert_int_equal(info->ioapics[0].address.raw, 0xfec00000);
	assert_int_equal(info->com1_gsi, 20);
	assert_true(info->com1_active_low);
	assert_true(info->com1_level);
	assert_true(info->power.has_s5);
	assert_int_equal(info->power.s5_type_a, 5);
	assert_int_equal(info->power.s5_type_b, 1);
	assert_int_equal(info->power.pm1a_control, 0xb004);
	assert_int_equal(info->power.timer_port, 0xb008);
	assert_true(info->power.timer_32bit);
	assert_int_equal(info->hpet.raw, 0xfed00000);
	assert_int_equal(info->power.smi_command, 0xb2);
	assert_int_equal(info->power.reset_port, 0xcf9);
	assert_int_equal(info->power.reset_value, 6);
	assert_string_equal(said, "");
}

/* ACPI 6.5, table 5.9: the old fields may be 0 where the new ones are used. */
static void registers_may_stand_in_the_extended_fields_only(void **state)
{
	u8 body[244 - 36];
	u32 entries[2];

	(void)state;
	memcpy(body, fadt_body, sizeof(body));
	memset(body + 64 - 36, 0, 4);
	memset(body + 76 - 36, 0, 4);
	memcpy(body + 172 - 36, "\x01\x10\x00\x02\x04\x18\0\0\0\0\0\0", 12);
	memcpy(body + 208 - 36, "\x01\x20\x00\x03\x08\x18\0\0\0\0\0\0", 12);
	entries[0] = put_table("FACP", body, sizeof(body));
	entries[1] = madt_at;
	put_rsdp(0, put_table("RSDT", entries, sizeof(entries)), 0);
	assert_int_equal(acpi_start(), 0);
	assert_int_equal(acpi_info()->power.pm1a_control, 0x1804);
	assert_int_equal(acpi_info()->power.timer_port, 0x1808);
	assert_int_equal(acpi_info()->hpet.raw, 0);
	/* In memory: not used. */
	body[208 - 36] = 0;
	entries[0] = put_table("FACP", body, sizeof(body));
	put_rsdp(0, put_table("RSDT", entries, sizeof(entries)), 0);
	assert_int_equal(acpi_start(), 0);
	assert_int_equal(acpi_info()->power.timer_port, 0);
}

static void the_xsdt_is_preferred(void **state)
{
	const u64 entries[1] = {madt_at};
	u32 xsdt;

	(void)state;
	xsdt = put_table("XSDT", entries, sizeof(entries));
	put_rsdp(2, 0xfffff000, xsdt);
	assert_int_equal(acpi_start(), 0);
	assert_int_equal(acpi_info()->cpu_count, 3);
	assert_non_null(strstr(said, "FADT")); /* the XSDT lists none */
}

static void a_broken_xsdt_falls_back_to_the_rsdt(void **state)
{
	const u64 entries[1] = {madt_at};
	u32 xsdt;

	(void)state;
	xsdt = put_table("XSDT", entries, sizeof(entries));
	memory[xsdt + 36] ^= 1;
	put_rsdp(2, root_at, xsdt);
	assert_int_equal(acpi_start(), 0);
	assert_true(acpi_info()->power.has_s5);
	assert_non_null(strstr(said, "checksum"));
}

static void a_missing_or_broken_root_pointer_is_named(void **state)
{
	(void)state;
	rsdp_bytes = 0;
	assert_true(acpi_start() < 0);
	assert_non_null(strstr(said, "found no root pointer"));
	machine(NULL);
	rsdp[9] ^= 1;
	assert_true(acpi_start() < 0);
	assert_non_null(strstr(said, "signature or checksum"));
}

static void a_missing_or_broken_madt_is_named(void **state)
{
	(void)state;
	memory[madt_at + 40] ^= 1;
	assert_true(acpi_start() < 0);
	assert_non_null(strstr(said, "\"APIC\""));
	assert_non_null(strstr(said, "checksum"));
	machine(NULL);
	memory[madt_at] = 'X';
	assert_true(acpi_start() < 0);
	assert_non_null(strstr(said, "no usable MADT"));
}

static void an_entry_that_is_too_long_ends_the_madt(void **state)
{
	u8 body[sizeof(madt_body)];
	u32 entries[1];

	(void)state;
	memcpy(body, madt_body, sizeof(body));
	body[8 + 8 + 1] = 250; /* the second processor's length */
	entries[0] = put_table("APIC", body, sizeof(body));
	put_rsdp(0, put_table("RSDT", entries, sizeof(entries)), 0);
	assert_int_equal(acpi_start(), 0);
	assert_int_equal(acpi_info()->cpu_count, 1);
	body[8 + 8 + 1] = 0; /* would never end */
	entries[0] = put_table("APIC", body, sizeof(body));
	put_rsdp(0, put_table("RSDT", entries, sizeof(entries)), 0);
	assert_int_equal(acpi_start(), 0);
	assert_int_equal(acpi_info()->cpu_count, 1);
}

static void processors_beyond_the_limit_are_counted(void **state)
{
	u8 body[8 + (MAX_CPUS + 3) * 8] = {0};
	u32 entries[1];

	(void)state;
	for (u32 i = 0; i < MAX_CPUS + 3; i++) {
		body[8 + i * 8 + 1] = 8;
		body[8 + i * 8 + 3] = (u8)i;
		body[8 + i * 8 + 4] = 1;
	}
	entries[0] = put_table("APIC", body, sizeof(body));
	put_rsdp(0, put_table("RSDT", entries, sizeof(entries)), 0);
	assert_int_equal(acpi_start(), 0);
	assert_int_equal(acpi_info()->cpu_count, MAX_CPUS);
	assert_int_equal(acpi_info()->cpus_ignored, 3);
}

static void a_broken_dsdt_costs_power_off_only(void **state)
{
	(void)state;
	memory[dsdt_at + 40] ^= 1;
	assert_int_equal(acpi_start(), 0);
	assert_false(acpi_info()->power.has_s5);
	assert_int_equal(acpi_info()->cpu_count, 3);
}

/* The sanitizers watch, with the sums made good so that damage gets past them. */
static void damaged_tables_harm_nothing(void **state)
{
	(void)state;
	srand(3);
	for (int round = 0; round < 5000; round++) {
		const u32 tables[] = {madt_at, fadt_at, dsdt_at, root_at};

		machine(NULL);
		for (int i = rand() % 4; i >= 0; i--)
			memory[16 + (u32)rand() % (used - 16)] = (u8)rand();
		for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
			u32 length;

			memcpy(&length, memory + tables[i] + 4, 4);
			if (length >= 36 && length <= sizeof(memory) - tables[i])
				set_sum(memory + tables[i], length, 9);
		}
		if (acpi_start() != 0)
			assert_int_not_equal(said[0], 0); /* it said why */
		assert_true(acpi_info()->cpu_count <= MAX_CPUS);
		assert_true(acpi_info()->ioapic_count <= IOAPICS_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_machine_is_understood, machine),
		cmocka_unit_test_setup(registers_may_stand_in_the_extended_fields_only, machine),
		cmocka_unit_test_setup(the_xsdt_is_preferred, machine),
		cmocka_unit_test_setup(a_broken_xsdt_falls_back_to_the_rsdt, machine),
		cmocka_unit_test_setup(a_missing_or_broken_root_pointer_is_named, machine),
		cmocka_unit_test_setup(a_missing_or_broken_madt_is_named, machine),
		cmocka_unit_test_setup(an_entry_that_is_too_long_ends_the_madt, machine),
		cmocka_unit_test_setup(processors_beyond_the_limit_are_counted, machine),
		cmocka_unit_test_setup(a_broken_dsdt_costs_power_off_only, machine),
		cmocka_unit_test_setup(damaged_tables_harm_nothing, machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
