/*
 * Multiboot2 information (specification 2.0, 3.6): command line, modules, memory map, ACPI root
 * pointer. Pure: no hardware, every length is checked, strings are copied
 * (tests/unit/test_multiboot.c).
 */
#include <string.h>

#include "arch/x86/multiboot.h"
#include "arch/x86/ranges.h"

#define TAG_END          0
#define TAG_COMMAND_LINE 1
#define TAG_MODULE       3
#define TAG_MEMORY_MAP   6
#define TAG_ACPI_OLD     14
#define TAG_ACPI_NEW     15

#define MEMORY_AVAILABLE 1

struct header {
	u32 total_size, reserved;
};
struct tag {
	u32 type, size;
};
struct module_tag {
	struct tag tag;
	u32 start, end;
	/* string follows */
};
struct map_tag {
	struct tag tag;
	u32 entry_size, entry_version;
};
struct map_entry {
	u64 base, length;
	u32 type, reserved;
};
_Static_assert(sizeof(struct map_entry) == 24, "multiboot2 memory map entry");

/* A copy of at most @bytes of the string at @text that ends with NUL; NULL if there is no room. */
static char *copy_string(struct multiboot_result *result, const char *text, u64 bytes)
{
	u64 length = strnlen(text, bytes);
	char *copy = result->strings + result->strings_used;

	if (length >= sizeof(result->strings) - result->strings_used)
		return NULL;
	memcpy(copy, text, length);
	copy[length] = 0;
	result->strings_used += (unsigned)length + 1;
	return copy;
}

static const char *read_module(const struct module_tag *tag, struct multiboot_result *result)
{
	struct boot_info *info = result->info;
	struct boot_module *module = &info->modules[info->module_count];
	char *space, *name;

	if (tag->tag.size < sizeof(*tag) || tag->end < tag->start)
		return "a module's tag is malformed";
	if (info->module_count == BOOT_MODULES_MAX)
		return "there are more modules than 64";
	name = copy_string(result, (const char *)(tag + 1), tag->tag.size - sizeof(*tag));
	if (name == NULL)
		return "the modules' command lines are longer than 8 KiB in all";
	module->name = name;
	space = strchr(name, ' ');
	if (space != NULL)
		*space = 0;
	module->start = hpa(tag->start);
	module->bytes = tag->end - tag->start;
	info->module_count++;
	return NULL;
}

/* Usable RAM page-rounded inwards, and minus whatever else the map lists, page-rounded outwards:
 * real firmware hands over maps whose entries overlap. */
static const char *read_map(const struct map_tag *tag, struct boot_info *info)
{
	struct ranges ram = {info->ram, &info->ram_count, BOOT_RANGES_MAX};

	if (tag->tag.size < sizeof(*tag) || tag->entry_size < sizeof(struct map_entry) ||
		tag->entry_size % 8 != 0)
		return "the memory map's tag is malformed";
	for (int pass = 0; pass < 2; pass++) {
		for (u32 at = sizeof(*tag); at + tag->entry_size <= tag->tag.size;
			at += tag->entry_size) {
			const struct map_entry *entry = (const void *)((const char *)tag + at);
			u64 start = entry->base, end = start + entry->length;
			bool available = entry->type == MEMORY_AVAILABLE;

			if (end < start || end > BIT(52))
				end = BIT(52);
			if (available && pass == 0 &&
				ranges_add(ram, ROUND_UP(start, PAGE_SIZE), end & ~PAGE_MASK) != 0)
				return "the memory map has more than 128 ranges";
			if (!available && pass == 1 &&
				ranges_remove(ram, start & ~PAGE_MASK, ROUND_UP(end, PAGE_SIZE)) !=
					0)
				return "the memory map has more than 128 ranges";
		}
	}
	return NULL;
}

static void read_rsdp(const struct tag *tag, struct multiboot_result *result)
{
	unsigned bytes = tag->size - (unsigned)sizeof(*tag);

	if (tag->type == TAG_ACPI_OLD && result->rsdp_bytes != 0)
		return; /* the newer one is kept, whatever the order */
	result->rsdp_bytes = MIN(bytes, (unsigned)sizeof(result->rsdp));
	memcpy(result->rsdp, tag + 1, result->rsdp_bytes);
}

u32 multiboot_bytes(const void *data)
{
	return ((const struct header *)data)->total_size;
}

const char *multiboot_parse(const void *data, u64 bytes, struct multiboot_result *result)
{
	struct boot_info *info = result->info;
	u64 at = sizeof(struct header);

	result->strings_used = 0;
	/* Not the literal, which goes with the rest of what is for the boot alone. */
	info->command_line = copy_string(result, "", 0);
	while (at + sizeof(struct tag) <= bytes) {
		const struct tag *tag = (const void *)((const char *)data + at);
		const char *wrong = NULL;

		if (tag->type == TAG_END)
			break;
		if (tag->size < sizeof(*tag) || tag->size > bytes - at)
			return "a tag of the multiboot information is longer than the information";
		switch (tag->type) {
		case TAG_COMMAND_LINE:
			info->command_line = copy_string(
				result, (const char *)(tag + 1), tag->size - sizeof(*tag));
			if (info->command_line == NULL)
				wrong = "the command line is longer than 8 KiB";
			break;
		case TAG_MODULE:
			wrong = read_module((const void *)tag, result);
			break;
		case TAG_MEMORY_MAP:
			wrong = read_map((const void *)tag, info);
			break;
		case TAG_ACPI_OLD:
		case TAG_ACPI_NEW:
			read_rsdp(tag, result);
			break;
		default:
			break;
		}
		if (wrong != NULL)
			return wrong;
		at += ROUND_UP((u64)tag->size, 8);
	}
	if (info->ram_count == 0)
		return "the boot loader gave no memory map";
	return NULL;
}
