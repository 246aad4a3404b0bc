/*
 * ACPI: root pointer, RSDT or XSDT, MADT (processors, IOAPICs, COM1's interrupt), HPET, and FADT
 * with the DSDT's _S5_ object (power off). Tables are mapped read-only and every one is summed
 * before it is believed; a bad MADT is fatal, a bad FADT costs the power switch only.
 */
#include <string.h>

#include <abi/errno.h>

#include "arch/x86/acpi.h"
#include "arch/x86/early.h"
#include "arch/x86/facts.h"
#include "arch/x86/log.h"
#include "arch/x86/paging.h"

#define TABLE_BYTES_MAX MIB(4)
#define ISA_IRQ_COM1    4

struct __packed_struct rsdp {
	char signature[8];
	u8 checksum;
	char oem[6];
	u8 revision;
	u32 rsdt;
	u32 length; /* this and what follows: revision 2 */
	u64 xsdt;
	u8 extended_checksum;
	u8 reserved[3];
};
_Static_assert(sizeof(struct rsdp) == 36, "ACPI RSDP");
#define RSDP_BYTES_V1 20

struct __packed_struct table {
	char signature[4];
	u32 length;
	u8 revision, checksum;
	char oem[6], oem_table[8];
	u32 oem_revision, creator, creator_revision;
};
_Static_assert(sizeof(struct table) == 36, "ACPI table header");

struct __packed_struct madt {
	struct table table;
	u32 lapic, flags;
	u8 entries[];
};

#define MADT_LAPIC    0
#define MADT_IOAPIC   1
#define MADT_OVERRIDE 2
#define MADT_X2APIC   9
#define CPU_ENABLED   BIT(0)

/* Addresses all processors, so it is none's id; firmware fills unused entries with it. */
#define APIC_ID_ALL   0xffU
#define X2APIC_ID_ALL 0xffffffffU

struct __packed_struct madt_lapic {
	u8 type, length, processor, apic_id;
	u32 flags;
};
struct __packed_struct madt_ioapic {
	u8 type, length, id, reserved;
	u32 address, first_gsi;
};
struct __packed_struct madt_override {
	u8 type, length, bus, source;
	u32 gsi;
	u16 flags;
};
struct __packed_struct madt_x2apic {
	u8 type, length;
	u16 reserved;
	u32 apic_id, flags, processor;
};

/* Generic address: where a register lives. */
struct __packed_struct address {
	u8 space, width, offset, access;
	u64 address;
};
#define SPACE_MEMORY 0
#define SPACE_IO     1

struct __packed_struct hpet {
	struct table table;
	u32 id;
	struct address registers;
};

/* The FADT as far as it is used; older ones are shorter. */
struct __packed_struct fadt {
	struct table table;
	u32 facs, dsdt;
	u8 reserved0, profile;
	u16 sci;
	u32 smi_command;
	u8 acpi_enable, acpi_disable, s4bios, pstate;
	u32 pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
	u8 unused1[32];
	u32 flags;
	struct address reset;
	u8 reset_value;
	u8 unused2[3];
	u64 x_facs, x_dsdt;
	struct address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control,
		x_pm_timer;
};
_Static_assert(offsetof(struct fadt, pm_timer) == 76, "FADT layout");
_Static_assert(offsetof(struct fadt, flags) == 112, "FADT layout");
_Static_assert(offsetof(struct fadt, reset_value) == 128, "FADT layout");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140, "FADT layout");
_Static_assert(offsetof(struct fadt, x_pm_timer) == 208, "FADT layout");
#define FADT_TIMER_32BIT BIT(8)
#define FADT_RESET       BIT(10)
#define FADT_HW_REDUCED  BIT(20)

#define AML_PACKAGE 0x12
#define AML_BYTE    0x0a
#define AML_ZERO    0x00
#define AML_ONE     0x01

static bool sums_to_zero(const void *data, u64 bytes)
{
	const u8 *byte = data;
	u8 sum = 0;

	for (u64 i = 0; i < bytes; i++)
		sum = (u8)(sum + byte[i]);
	return sum == 0;
}

/* Maps one whole table and checks it; NULL after a message. */
static const struct table *open_table(u64 address)
{
	const struct table *table = paging_map_firmware(hpa(address), sizeof(*table));

	if (table == NULL)
		return NULL;
	if (table->length < sizeof(*table) || table->length > TABLE_BYTES_MAX) {
		log_warn("ACPI table \"%.4s\" at 0x%lx has an impossible length of %u bytes",
			table->signature, address, table->length);
		return NULL;
	}
	if (paging_map_firmware(hpa(address), table->length) == NULL)
		return NULL;
	if (!sums_to_zero(table, table->length)) {
		log_warn("ACPI table \"%.4s\" at 0x%lx has a wrong checksum", table->signature,
			address);
		return NULL;
	}
	return table;
}

static const struct rsdp *check_rsdp(const void *data, unsigned bytes)
{
	const struct rsdp *rsdp = data;

	if (bytes < RSDP_BYTES_V1 || memcmp(rsdp->signature, "RSD PTR ", 8) != 0 ||
		!sums_to_zero(rsdp, RSDP_BYTES_V1))
		return NULL;
	if (bytes >= sizeof(*rsdp) && rsdp->revision >= 2 && !sums_to_zero(rsdp, sizeof(*rsdp)))
		return NULL;
	return rsdp;
}

/* The first good table of @signature in the RSDT or XSDT @root, whose entries are @width bytes
 * long. */
static const struct table *find_table(
	const struct table *root, unsigned width, const char *signature)
{
	const u8 *entry = (const u8 *)(root + 1);
	const u8 *end = (const u8 *)root + root->length;

	for (; entry + width <= end; entry += width) {
		const struct table *table;
		u64 address = 0;

		memcpy(&address, entry, width);
		table = paging_map_firmware(hpa(address), sizeof(*table));
		if (table != NULL && memcmp(table->signature, signature, 4) == 0 &&
			(table = open_table(address)) != NULL)
			return table;
	}
	return NULL;
}

/* ---- MADT
 * ---------------------------------------------------------------------------------------- */

static void add_cpu(u32 apic_id, u32 flags)
{
	/* Online-capable processors (bit 1) are absent until somebody plugs them in. */
	if (!(flags & CPU_ENABLED))
		return;
	/* Firmware may list one processor in both forms. */
	for (unsigned i = 0; i < acpi_facts.cpu_count; i++)
		if (acpi_facts.apic_ids[i] == apic_id)
			return;
	if (acpi_facts.cpu_count == MAX_CPUS)
		acpi_facts.cpus_ignored++;
	else
		acpi_facts.apic_ids[acpi_facts.cpu_count++] = apic_id;
}

static void add_ioapic(const struct madt_ioapic *entry)
{
	if (acpi_facts.ioapic_count < IOAPICS_MAX)
		acpi_facts.ioapics[acpi_facts.ioapic_count++] = (struct acpi_ioapic){
			hpa(entry->address), entry->first_gsi};
}

static void note_override(const struct madt_override *entry)
{
	if (entry->bus != 0 || entry->source != ISA_IRQ_COM1)
		return;
	acpi_facts.com1_gsi = entry->gsi;
	acpi_facts.com1_active_low = (entry->flags & 3) == 3;
	acpi_facts.com1_level = (entry->flags >> 2 & 3) == 3;
}

static void read_madt(const struct madt *madt)
{
	const u8 *at = madt->entries, *end = (const u8 *)madt + madt->table.length;

	/* An entry is type, length, contents. */
	for (; at + 2 <= end && at[1] >= 2 && at + at[1] <= end; at += at[1]) {
		const struct madt_lapic *lapic = (const void *)at;
		const struct madt_x2apic *x2apic = (const void *)at;

		if (at[0] == MADT_LAPIC && at[1] >= sizeof(*lapic) && lapic->apic_id != APIC_ID_ALL)
			add_cpu(lapic->apic_id, lapic->flags);
		else if (at[0] == MADT_X2APIC && at[1] >= sizeof(*x2apic) &&
			 x2apic->apic_id != X2APIC_ID_ALL)
			add_cpu(x2apic->apic_id, x2apic->flags);
		else if (at[0] == MADT_IOAPIC && at[1] >= sizeof(struct madt_ioapic))
			add_ioapic((const void *)at);
		else if (at[0] == MADT_OVERRIDE && at[1] >= sizeof(struct madt_override))
			note_override((const void *)at);
	}
}

/* ---- FADT and _S5_
 * --------------------------------------------------------------------------------- */

/* One integer of a package: Zero, One, or a byte with its prefix. */
static bool read_aml_integer(const u8 **at, const u8 *end, u8 *value)
{
	if (*at < end && (**at == AML_ZERO || **at == AML_ONE)) {
		*value = *(*at)++;
		return true;
	}
	if (*at + 1 < end && **at == AML_BYTE) {
		*value = (*at)[1];
		*at += 2;
		return true;
	}
	return false;
}

/* Name(_S5_, Package {SLP_TYPa, SLP_TYPb, ...}): found by its name, no AML is run. */
static void find_s5(const struct table *dsdt)
{
	const u8 *at = (const u8 *)(dsdt + 1), *end = (const u8 *)dsdt + dsdt->length;

	for (; at + 8 < end; at++) {
		const u8 *package = at + 5;

		if (memcmp(at, "_S5_", 4) != 0 || at[4] != AML_PACKAGE)
			continue;
		package += 1 + (*package >> 6); /* the package's length: 1 to 4 bytes */
		package++;                      /* how many elements */
		if (read_aml_integer(&package, end, &acpi_facts.power.s5_type_a) &&
			read_aml_integer(&package, end, &acpi_facts.power.s5_type_b)) {
			acpi_facts.power.has_s5 = true;
			return;
		}
	}
}

/* A register's port by its old field, or where that is 0 by its new one; 0 if it has none. */
static u16 io_port(u32 address, const struct address *extended)
{
	if (address == 0 && extended->space == SPACE_IO && extended->address <= 0xffff)
		return (u16)extended->address;
	return address <= 0xffff ? (u16)address : 0;
}

static void read_hpet(const struct hpet *hpet)
{
	if (hpet->table.length >= sizeof(*hpet) && hpet->registers.space == SPACE_MEMORY)
		acpi_facts.hpet = hpa(hpet->registers.address);
}

static void read_fadt(const struct table *table)
{
	static const struct address nowhere;
	struct fadt fadt = {0};
	const struct table *dsdt;
	u64 dsdt_address;

	memcpy(&fadt, table, MIN((u64)table->length, sizeof(fadt)));
	if (fadt.flags & FADT_RESET && fadt.reset.space == SPACE_IO) {
		acpi_facts.power.reset_port = (u16)fadt.reset.address;
		acpi_facts.power.reset_value = fadt.reset_value;
	}
	if (fadt.flags & FADT_HW_REDUCED)
		return;
	acpi_facts.power.timer_port = io_port(fadt.pm_timer, &fadt.x_pm_timer);
	acpi_facts.power.timer_32bit = fadt.flags & FADT_TIMER_32BIT;
	acpi_facts.power.pm1a_control = io_port(fadt.pm1a_control, &fadt.x_pm1a_control);
	acpi_facts.power.pm1b_control = io_port(fadt.pm1b_control, &fadt.x_pm1b_control);
	acpi_facts.power.smi_command = io_port(fadt.smi_command, &nowhere);
	acpi_facts.power.acpi_enable = fadt.acpi_enable;
	dsdt_address = fadt.x_dsdt != 0 ? fadt.x_dsdt : fadt.dsdt;
	if (dsdt_address != 0 && (dsdt = open_table(dsdt_address)) != NULL)
		find_s5(dsdt);
}

int acpi_start(void)
{
	unsigned bytes, width = 4;
	const void *data = early_rsdp(&bytes);
	const struct rsdp *rsdp = data != NULL ? check_rsdp(data, bytes) : NULL;
	const struct table *root = NULL, *madt, *fadt, *hpet;

	acpi_facts = (struct acpi_info){.com1_gsi = ISA_IRQ_COM1};
	if (rsdp == NULL) {
		log_error(data == NULL ? "no ACPI: the boot loader found no root pointer (RSDP)"
				       : "no ACPI: the root pointer (RSDP) has a wrong signature "
					 "or checksum");
		return -SLUICE_ENOENT;
	}
	if (rsdp->revision >= 2 && bytes >= sizeof(*rsdp) && rsdp->xsdt != 0 &&
		(root = open_table(rsdp->xsdt)) != NULL)
		width = 8;
	if (root == NULL)
		root = open_table(rsdp->rsdt);
	if (root == NULL) {
		log_error("no ACPI: neither XSDT nor RSDT is usable");
		return -SLUICE_ENOENT;
	}
	madt = find_table(root, width, "APIC");
	if (madt == NULL) {
		log_error("ACPI has no usable MADT (table \"APIC\"): processors are unknown");
		return -SLUICE_ENOENT;
	}
	read_madt((const struct madt *)madt);
	fadt = find_table(root, width, "FACP");
	if (fadt != NULL)
		read_fadt(fadt);
	else
		log_warn("ACPI has no usable FADT (table \"FACP\"): no power off, no timer");
	hpet = find_table(root, width, "HPET");
	if (hpet != NULL)
		read_hpet((const struct hpet *)hpet);
	return 0;
}
