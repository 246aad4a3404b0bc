/* A guest's ACPI tables: see acpi_tables.h. Layouts after ACPI 6.4, chapter 5. */
#include "arch/x86/guest/acpi_tables.h"

#include "arch/x86/guest/aml.h"
#include <abi/platform.h>
#include <string.h>

struct __packed_struct address { /* 5.2.3.2 */
	u8 space, bits, offset, access;
	u64 address;
};
#define SPACE_PORTS 1
#define ACCESS_BYTE 1

struct __packed_struct rsdp { /* 5.2.5.3 */
	char signature[8];
	u8 checksum;
	char oem[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum;
	u8 reserved[3];
};
_Static_assert(sizeof(struct rsdp) == 36, "RSDP");
#define RSDP_1_BYTES 20 /* what @checksum is about */

struct __packed_struct header { /* 5.2.6 */
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem[6];
	char oem_table[8];
	u32 oem_revision;
	char creator[4];
	u32 creator_revision;
};
_Static_assert(sizeof(struct header) == 36, "table header");

struct __packed_struct xsdt { /* 5.2.8 */
	struct header header;
	u64 tables[2];
};

struct __packed_struct fadt { /* 5.2.9 */
	struct header header;
	u32 facs, dsdt;
	u8 not_here_1[109 - 44]; /* fixed hardware */
	u16 boot_flags;
	u8 reserved_1;
	u32 flags;
	struct address reset;
	u8 reset_value;
	u16 arm_boot_flags;
	u8 minor;
	u64 x_facs, x_dsdt;
	struct address not_here_2[8]; /* fixed hardware */
	struct address sleep_control, sleep_status;
	u64 hypervisor;
};
_Static_assert(sizeof(struct fadt) == 276, "FADT of revision 6");
_Static_assert(offsetof(struct fadt, boot_flags) == 109, "FADT");
#define BOOT_NO_VGA    BIT(2)
#define BOOT_NO_MSI    BIT(3)
#define BOOT_NO_RTC    BIT(5)
#define FADT_WBINVD    BIT(0)
#define FADT_NO_POWER  BIT(4) /* no fixed power button, */
#define FADT_NO_SLEEP  BIT(5) /* no fixed sleep button */
#define FADT_RESET     BIT(10)
#define FADT_REDUCED   BIT(20)
#define RESET_VALUE    0xfe
#define SLEEP_TYPE_S5  5
#define NOTIFY_PRESSED 0x80 /* table 5.170: of a power button, S0 */

struct __packed_struct madt { /* 5.2.12 */
	struct header header;
	u32 lapic_address;
	u32 flags;
};
struct __packed_struct madt_lapic { /* 5.2.12.2 */
	u8 type, length;
	u8 uid, id;
	u32 flags;
};
#define MADT_LAPIC   0
#define LAPIC_ONLINE 1
struct __packed_struct madt_ioapic { /* 5.2.12.3 */
	u8 type, length;
	u8 id, reserved;
	u32 address;
	u32 first_gsi;
};
#define MADT_IOAPIC 1

static u8 checksum(const void *bytes, u32 count)
{
	u8 sum = 0;

	for (u32 i = 0; i < count; i++)
		sum = (u8)(sum + ((const u8 *)bytes)[i]);
	return (u8)-sum;
}

/* The header of a table of which it is known where it begins, and that it ends at @out. */
static void finish(struct aml *out, u32 start, const char *signature, u8 revision)
{
	struct header *header = (struct header *)(out->bytes + start);

	*header = (struct header){.length = out->used - start,
		.revision = revision,
		.oem = "SLUICE",
		.oem_table = "SLUICEPC",
		.oem_revision = 1,
		.creator = "SLCE",
		.creator_revision = 1};
	memcpy(header->signature, signature, sizeof(header->signature));
	header->checksum = checksum(header, header->length);
	/* Tables begin at multiples of 8, and so does what is behind them all. */
	out->used = ROUND_UP(out->used, 8u);
}

/* Room for a struct that is filled in where it is; a full buffer still has it, at its beginning. */
static u32 begin(struct aml *out, u32 bytes)
{
	u32 start = out->used;

	if (out->full || bytes > out->room - start) {
		out->full = true;
		return 0;
	}
	out->used += bytes;
	return start;
}

static void write_devices(struct aml *out, u32 slots)
{
	u32 device = aml_open_device(out, "COM1"), resources;

	aml_name(out, "_HID");
	aml_string(out, "PNP0501");
	aml_name(out, "_UID");
	aml_integer(out, 1);
	aml_name(out, "_CRS");
	resources = aml_open_resources(out);
	aml_ports(out, PLATFORM_UART_PORT, 8);
	aml_edge_interrupt(out, PLATFORM_UART_GSI);
	aml_close_resources(out, resources);
	aml_close(out, device);
	for (u32 slot = 0; slot < PLATFORM_VIRTIO_SLOTS; slot++) {
		char name[4] = {'V', 'R', '0', "0123456789ABCDEF"[slot % 16]};

		if (!(slots & BIT(slot)))
			continue;
		device = aml_open_device(out, name);
		aml_name(out, "_HID");
		aml_string(out, "LNRO0005");
		aml_name(out, "_UID");
		aml_integer(out, slot);
		aml_name(out, "_CRS");
		resources = aml_open_resources(out);
		aml_memory(out, PLATFORM_VIRTIO_WINDOW(slot), PLATFORM_VIRTIO_STRIDE);
		aml_edge_interrupt(out, PLATFORM_VIRTIO_LINE(slot));
		aml_close_resources(out, resources);
		aml_close(out, device);
	}
}

static void write_id(struct aml *out, const char *id)
{
	aml_name(out, "_HID");
	aml_string(out, id);
	aml_name(out, "_UID");
	aml_integer(out, 0);
}

/* A power button, and who tells of it: the Generic Event Device (5.6.9), whose one interrupt has
 * one meaning. */
static void write_power_button(struct aml *out)
{
	u32 device = aml_open_device(out, "PWRB"), inner;

	write_id(out, "PNP0C0C");
	aml_close(out, device);
	device = aml_open_device(out, "GED0");
	write_id(out, "ACPI0013");
	aml_name(out, "_CRS");
	inner = aml_open_resources(out);
	aml_edge_interrupt(out, PLATFORM_POWER_GSI);
	aml_close_resources(out, inner);
	inner = aml_open_method(out, "_EVT", 1);
	aml_notify(out, "PWRB", NOTIFY_PRESSED);
	aml_close(out, inner);
	aml_close(out, device);
}

static u32 write_dsdt(struct aml *out, u32 slots)
{
	u32 start = begin(out, sizeof(struct header)), open = aml_open_scope(out, "_SB_");

	write_devices(out, slots);
	write_power_button(out);
	aml_close(out, open);
	aml_name(out, "_S5_");
	open = aml_open_package(out, 1);
	aml_integer(out, SLEEP_TYPE_S5);
	aml_close(out, open);
	finish(out, start, "DSDT", 2);
	return start;
}

static struct address port(u16 number)
{
	return (struct address){SPACE_PORTS, 8, 0, ACCESS_BYTE, number};
}

static u32 write_fadt(struct aml *out, u64 dsdt)
{
	u32 start = begin(out, sizeof(struct fadt));
	struct fadt *fadt = (struct fadt *)(out->bytes + start);

	fadt->dsdt = (u32)dsdt;
	fadt->x_dsdt = dsdt;
	fadt->boot_flags = BOOT_NO_VGA | BOOT_NO_MSI | BOOT_NO_RTC;
	fadt->flags = FADT_WBINVD | FADT_NO_POWER | FADT_NO_SLEEP | FADT_RESET | FADT_REDUCED;
	fadt->reset = port(PLATFORM_RESET_PORT);
	fadt->reset_value = RESET_VALUE;
	fadt->minor = 4;
	fadt->sleep_control = port(PLATFORM_SLEEP_PORT);
	fadt->sleep_status = port(PLATFORM_SLEEP_PORT + 1);
	memcpy(&fadt->hypervisor, "Sluice", 6);
	finish(out, start, "FACP", 6);
	return start;
}

static u32 write_madt(struct aml *out, unsigned cpus)
{
	u32 start = begin(out, sizeof(struct madt));
	struct madt_ioapic ioapic = {MADT_IOAPIC, sizeof(ioapic), 0, 0, PLATFORM_IOAPIC_BASE, 0};

	((struct madt *)(out->bytes + start))->lapic_address = PLATFORM_LAPIC_BASE;
	for (unsigned i = 0; i < cpus; i++) {
		struct madt_lapic lapic = {MADT_LAPIC, sizeof(lapic), (u8)i, (u8)i, LAPIC_ONLINE};

		aml_bytes(out, &lapic, sizeof(lapic));
	}
	aml_bytes(out, &ioapic, sizeof(ioapic));
	finish(out, start, "APIC", 5);
	return start;
}

bool acpi_write_tables(u8 *to, u64 address, const struct acpi_contents *contents)
{
	struct aml out = {.bytes = to, .room = ACPI_TABLES_BYTES};
	u32 start, fadt, madt;
	struct rsdp *rsdp = (struct rsdp *)to;
	struct xsdt *xsdt;

	out.used = ROUND_UP((u32)sizeof(*rsdp), 8u);
	fadt = write_fadt(&out, address + write_dsdt(&out, contents->virtio_slots));
	madt = write_madt(&out, contents->cpus);
	start = begin(&out, sizeof(*xsdt));
	xsdt = (struct xsdt *)(to + start);
	xsdt->tables[0] = address + fadt;
	xsdt->tables[1] = address + madt;
	finish(&out, start, "XSDT", 1);
	if (out.full)
		return false;
	*rsdp = (struct rsdp){.signature = "RSD PTR ",
		.oem = "SLUICE",
		.revision = 2,
		.length = sizeof(*rsdp),
		.xsdt = address + start};
	rsdp->checksum = checksum(rsdp, RSDP_1_BYTES);
	rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
	return true;
}
