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

struct elf32_header {
	u8 ident[16];
	u16 type, machine;
	u32 version, entry, phoff, shoff, flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf32_header) == 52, "Elf32_Ehdr");

struct elf64_header {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf64_header) == 64, "Elf64_Ehdr");

struct elf32_program {
	u32 type, offset, vaddr, paddr, filesz, memsz, flags, align;
};
_Static_assert(sizeof(struct elf32_program) == 32, "Elf32_Phdr");

struct elf64_program {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct elf64_program) == 56, "Elf64_Phdr");

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
	bool is_64;
	u64 phoff;
	unsigned phnum;
};

static int refuse(struct elf_error *error, const char *what)
{
	*error = (struct elf_error){.what = what};
	return -SLUICE_EINVAL;
}

static int out_of_range(struct elf_error *error, const char *what, u64 value, u64 low, u64 high)
{
	*error = (struct elf_error){what, true, value, low, high};
	return -SLUICE_EINVAL;
}

/* Whether [offset, offset + bytes) lies inside [0, size). */
static bool inside(u64 offset, u64 bytes, u64 size)
{
	return offset <= size && bytes <= size - offset;
}

static int read_layout(const u8 *image, u64 size, struct layout *out, struct elf_error *error)
{
	u16 type, machine, phentsize, want;

	if (size < sizeof(struct elf32_header) || memcmp(image, "\177ELF", 4) != 0)
		return refuse(error, "is no ELF file");
	if (image[5] != ELF_DATA_LSB)
		return refuse(error, "is a big-endian ELF file");
	if (image[4] == ELF_CLASS_64) {
		struct elf64_header h;

		if (size < sizeof(h))
			return refuse(error, "ends inside its ELF header");
		memcpy(&h, image, sizeof(h));
		*out = (struct layout){true, h.phoff, h.phnum};
		type = h.type;
		machine = h.machine;
		phentsize = h.phentsize;
		want = sizeof(struct elf64_program);
	} else if (image[4] == ELF_CLASS_32) {
		struct elf32_header h;

		memcpy(&h, image, sizeof(h));
		*out = (struct layout){false, h.phoff, h.phnum};
		type = h.type;
		machine = h.machine;
		phentsize = h.phentsize;
		want = sizeof(struct elf32_program);
	} else {
		return out_of_range(error, "ELF class", image[4], ELF_CLASS_32, ELF_CLASS_64);
	}
	if (type != ELF_EXEC && type != ELF_DYN)
		return out_of_range(error, "ELF type", type, ELF_EXEC, ELF_DYN);
	if (machine != ELF_386 && machine != ELF_X86_64)
		return refuse(error, "is not for x86");
	if (phentsize != want)
		return out_of_range(error, "size of a program header", phentsize, want, want);
	if (!inside(out->phoff, (u64)out->phnum * want, size))
		return out_of_range(error, "offset of the program headers", out->phoff, 0,
			size < (u64)out->phnum * want ? 0 : size - (u64)out->phnum * want);
	return 0;
}

static struct program program_at(const u8 *image, const struct layout *layout, unsigned index)
{
	if (layout->is_64) {
		struct elf64_program p;

		memcpy(&p, image + layout->phoff + index * sizeof(p), sizeof(p));
		return (struct program){p.type, p.offset, p.paddr, p.filesz, p.memsz, p.align};
	}
	struct elf32_program p;

	memcpy(&p, image + layout->phoff + index * sizeof(p), sizeof(p));
	return (struct program){p.type, p.offset, p.paddr, p.filesz, p.memsz, p.align};
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
			*entry = 0;
			memcpy(entry, notes + desc, note.descsz);
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
		return out_of_range(error, "address of a segment (it covers the start info)",
			p->paddr, taken + taken_bytes, ram_end);
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
	struct layout layout;
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
