/*
 * Multiboot2 information (specification 2.0, 3.6): command line, modules, memory map, screen, ACPI
 * root pointer. Pure: no hardware, every length is checked, strings are copied
 * (tests/unit/test_multiboot.c).
 */
#include <string.h>

#include "arch/x86/multiboot.h"
#include "arch/x86/paging.h"
#include "arch/x86/ranges.h"

#define TAG_END          0
#define TAG_COMMAND_LINE 1
#define TAG_MODULE       3
#define TAG_MEMORY_MAP   6
#define TAG_FRAMEBUFFER  8
#define TAG_ACPI_OLD     14
#define TAG_ACPI_NEW     15

#define MEMORY_AVAILABLE 1

#define FRAMEBUFFER_RGB  1
#define FRAMEBUFFER_TEXT 2

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
struct framebuffer_tag {
	struct tag tag;
	u64 address;
	u32 pitch, width, height;
	u8 bits, kind;
	u16 reserved;
	/* RGB only. In a pixel, from its lowest bit. */
	struct {
		u8 position, bits;
	} colours[3];
	u8 padding[2];
};
#define FRAMEBUFFER_TEXT_BYTES offsetof(struct framebuffer_tag, colours)
#define FRAMEBUFFER_RGB_BYTES  offsetof(struct framebuffer_tag, padding)

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

			if (end < start || end > DIRECT_MAP_END)
				end = DIRECT_MAP_END;
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

/* Light grey: two thirds of each colour. 0 for colours that are not within a pixel. */
static u32 grey(const struct framebuffer_tag *tag)
{
	u32 ink = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(tag->colours); i++) {
		u32 position = tag->colours[i].position, bits = tag->colours[i].bits;

		if (bits > 16 || position + bits > tag->bits)
			return 0;
		ink |= (BIT(bits) - 1) * 2 / 3 << position;
	}
	return ink;
}

/* A screen that cannot be used is none: the log has another way out. */
static void read_framebuffer(const struct framebuffer_tag *tag, struct screen_mode *screen)
{
	u32 bytes;

	if (tag->tag.size < FRAMEBUFFER_TEXT_BYTES || tag->width == 0 || tag->width > 32768 ||
		tag->height > 32768 || tag->address >= BIT(52))
		return;
	*screen = (struct screen_mode){.address = hpa(tag->address),
		.pitch = tag->pitch,
		.height = tag->height,
		.text = tag->kind == FRAMEBUFFER_TEXT};
	if (screen->text) {
		bytes = 2;
	} else {
		bytes = (tag->bits + 7) / 8;
		if (tag->kind != FRAMEBUFFER_RGB || tag->tag.size < FRAMEBUFFER_RGB_BYTES ||
			bytes == 0 || bytes > 4)
			return;
		screen->pixel_bytes = (u8)bytes;
		screen->ink = grey(tag);
		if (screen->ink == 0)
			return;
	}
	if (tag->pitch / bytes >= tag->width)
		screen->width = tag->width;
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
		case TAG_FRAMEBUFFER:
			read_framebuffer((const void *)tag, &result->screen);
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
