/* The ELF reader of the PVH loader: see elf.h. Structures after the System V ABI, chapters 4 and 5.
 */
#include "arch/x86/guest/elf.h"

#include <abi/errno.h>
#include <string.h>

#define ELF_CLASS_32 1
#define ELF_CLASS_64 2
#define ELF_DATA_LSB 1
#define ELF_EXEC     2
#define ELF_DYN      3
#define ELF_386      3
#define ELF_X86_64   62
#define PT_LOAD      1
#define PT_NOTE      4

#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */

/* Where each class has its fields, and how wide its addresses are (System V ABI, figures 4-3, 5-1).
 */
struct shape {
	u8 word, header_bytes, phoff, phentsize, phnum;        /* Ehdr */
	u8 program_bytes, offset, paddr, filesz, memsz, align; /* Phdr */
};
static const struct shape shape_32 = {4, 52, 28, 42, 44, 32, 4, 12, 16, 20, 28};
static const struct shape shape_64 = {8, 64, 32, 54, 56, 56, 8, 24, 32, 40, 48};

/* In both classes alike. */
#define EHDR_CLASS   4
#define EHDR_DATA    5
#define EHDR_TYPE    16
#define EHDR_MACHINE 18
#define PHDR_TYPE    0

struct elf_note {
	u32 namesz, descsz, type;
};

/* A program header of either class. */
struct program {
	u32 type;
	u64 offset, paddr, filesz, memsz, align;
};

/* Where the program headers are. */
struct layout {
	const struct shape *shape;
	u64 phoff;
	unsigned phnum;
};

/* Out of line: there are many callers, and the image has a size budget. */
static __attribute__((noinline)) void set_error(
	struct elf_error *error, const char *what, bool ranged, u64 value, u64 low, u64 high)
{
	*error = (struct elf_error){what, ranged, value, low, high};
}

static int refuse(struct elf_error *error, const char *what)
{
	set_error(error, what, false, 0, 0, 0);
	return -SLUICE_EINVAL;
}

static int out_of_range(struct elf_error *error, const char *what, u64 value, u64 low, u64 high)
{
	set_error(error, what, true, value, low, high);
	return -SLUICE_EINVAL;
}

/* Whether [offset, offset + bytes) lies inside [0, size). */
static bool inside(u64 offset, u64 bytes, u64 size)
{
	return offset <= size && bytes <= size - offset;
}

/* A little-endian number of at most 8 bytes. */
static u64 number(const u8 *at, unsigned bytes)
{
	u64 value = 0;

	memcpy(&value, at, bytes);
	return value;
}

/* Linux, Documentation/arch/x86/boot.rst: the setup header. */
static bool is_bzimage(const u8 *image, u64 size)
{
	return inside(0x202, 4, size) && memcmp(image + 0x202, "HdrS", 4) == 0 &&
	       memcmp(image, "\177ELF", 4) != 0;
}

static int read_layout(const u8 *image, u64 size, struct layout *out, struct elf_error *error)
{
	const struct shape *shape;
	u64 type, machine, phentsize, bytes;

	if (is_bzimage(image, size))
		return refuse(error,
			"is a Linux bzImage, valid is the ELF kernel in it (tools/vmlinux.py)");
	if (size < shape_32.header_bytes || memcmp(image, "\177ELF", 4) != 0)
		return refuse(error, "is no ELF file");
	if (image[EHDR_DATA] != ELF_DATA_LSB)
		return refuse(error, "is a big-endian ELF file");
	if (image[EHDR_CLASS] != ELF_CLASS_32 && image[EHDR_CLASS] != ELF_CLASS_64)
		return out_of_range(
			error, "ELF class", image[EHDR_CLASS], ELF_CLASS_32, ELF_CLASS_64);
	shape = image[EHDR_CLASS] == ELF_CLASS_64 ? &shape_64 : &shape_32;
	if (size < shape->header_bytes)
		return refuse(error, "ends inside its ELF header");
	type = number(image + EHDR_TYPE, 2);
	if (type != ELF_EXEC && type != ELF_DYN)
		return out_of_range(error, "ELF type", type, ELF_EXEC, ELF_DYN);
	machine = number(image + EHDR_MACHINE, 2);
	if (machine != ELF_386 && machine != ELF_X86_64)
		return refuse(error, "is not for x86");
	phentsize = number(image + shape->phentsize, 2);
	if (phentsize != shape->program_bytes)
		return out_of_range(error, "size of a program header", phentsize,
			shape->program_bytes, shape->program_bytes);
	out->shape = shape;
	out->phoff = number(image + shape->phoff, shape->word);
	out->phnum = (unsigned)number(image + shape->phnum, 2);
	bytes = (u64)out->phnum * phentsize;
	if (!inside(out->phoff, bytes, size))
		return out_of_range(error, "offset of the program headers", out->phoff, 0,
			size < bytes ? 0 : size - bytes);
	return 0;
}

static struct program program_at(const u8 *image, const struct layout *layout, unsigned index)
{
	const struct shape *shape = layout->shape;
	const u8 *at = image + layout->phoff + index * shape->program_bytes;

	return (struct program){
		.type = (u32)number(at + PHDR_TYPE, 4),
		.offset = number(at + shape->offset, shape->word),
		.paddr = number(at + shape->paddr, shape->word),
		.filesz = number(at + shape->filesz, shape->word),
		.memsz = number(at + shape->memsz, shape->word),
		.align = number(at + shape->align, shape->word),
	};
}

/* Looks for the PVH entry among the notes of one PT_NOTE segment. */
static bool find_entry(const u8 *notes, u64 bytes, u64 align, u64 *entry)
{
	u64 at = 0;

	align = align == 8 ? 8 : 4;
	while (inside(at, sizeof(struct elf_note), bytes)) {
		struct elf_note note;
		u64 name = at + sizeof(note), desc;

		memcpy(&note, notes + at, sizeof(note));
		desc = ROUND_UP(name + note.namesz, align);
		if (!inside(desc, note.descsz, bytes))
			return false;
		if (note.type == NOTE_PHYS32_ENTRY && note.namesz == 4 &&
			memcmp(notes + name, "Xen", 4) == 0 &&
			(note.descsz == 4 || note.descsz == 8)) {
			*entry = number(notes + desc, note.descsz);
			return true;
		}
		at = ROUND_UP(desc + note.descsz, align);
	}
	return false;
}

static bool overlap(u64 a, u64 a_bytes, u64 b, u64 b_bytes)
{
	return a < b + b_bytes && b < a + a_bytes;
}

static int add_segment(const struct program *p, u64 size, u64 ram_end, u64 taken, u64 taken_bytes,
	struct elf_image *out, struct elf_error *error)
{
	struct elf_segment *s = &out->segments[out->count];

	if (p->memsz == 0)
		return 0;
	if (out->count == ELF_SEGMENTS_MAX)
		return out_of_range(
			error, "number of segments", out->count + 1UL, 1, ELF_SEGMENTS_MAX);
	if (!inside(p->offset, p->filesz, size))
		return out_of_range(error, "end of a segment in the file (truncated?)",
			p->offset > ~0UL - p->filesz ? ~0UL : p->offset + p->filesz, 0, size);
	if (p->filesz > p->memsz)
		return out_of_range(error, "file size of a segment", p->filesz, 0, p->memsz);
	if (p->paddr >= ram_end)
		return out_of_range(error, "address of a segment", p->paddr, 0, ram_end);
	if (!inside(p->paddr, p->memsz, ram_end))
		return out_of_range(error, "size of a segment", p->memsz, 0, ram_end - p->paddr);
	if (overlap(p->paddr, p->memsz, taken, taken_bytes))
		return out_of_range(error,
			"address of a segment (it covers what is reserved below 1 MiB)", p->paddr,
			taken + taken_bytes, ram_end);
	for (unsigned i = 0; i < out->count; i++)
		if (overlap(p->paddr, p->memsz, out->segments[i].address, out->segments[i].memory))
			return out_of_range(error, "address of a segment (it covers another)",
				p->paddr, 0, ram_end);
	*s = (struct elf_segment){p->offset, p->filesz, p->paddr, p->memsz};
	out->count++;
	out->end = MAX(out->end, p->paddr + p->memsz);
	return 0;
}

int elf_read(const u8 *image, u64 size, u64 ram_end, u64 taken, u64 taken_bytes,
	struct elf_image *out, struct elf_error *error)
{
	struct layout layout = {0};
	bool found = false;
	u64 entry = 0;
	int err = read_layout(image, size, &layout, error);

	if (err)
		return err;
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < layout.phnum; i++) {
		struct program p = program_at(image, &layout, i);

		if (p.type == PT_LOAD) {
			err = add_segment(&p, size, ram_end, taken, taken_bytes, out, error);
			if (err)
				return err;
		} else if (p.type == PT_NOTE && !found && inside(p.offset, p.filesz, size)) {
			found = find_entry(image + p.offset, p.filesz, p.align, &entry);
		}
	}
	if (!found)
		return refuse(error, "has no PVH note (owner Xen, type 18)");
	if (out->count == 0)
		return refuse(error, "has no segment to load");
	for (unsigned i = 0; i < out->count; i++) {
		const struct elf_segment *s = &out->segments[i];

		if (entry >= s->address && entry - s->address < s->memory && entry <= ~0U) {
			out->entry = (u32)entry;
			return 0;
		}
	}
	return out_of_range(error, "PVH entry", entry, out->segments[0].address,
		out->segments[0].address + out->segments[0].memory - 1);
}
