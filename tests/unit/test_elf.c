/*
 * The PVH loader's ELF reader: a good image of each class, and every way in which a module can be
 * wrong. The image is a heap block of its exact size, so that AddressSanitizer sees a read beyond
 * it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "arch/x86/guest/elf.h"

#define RAM   (16u << 20)
#define TAKEN 0x9000u

#define IMAGE_BYTES 0x1000u

static u8 *image;
static Elf64_Ehdr *header;
static Elf64_Phdr *program; /* 0 and 1: PT_LOAD, 2: PT_NOTE */
static struct elf_image out;
static struct elf_error error;

static const u32 note_words[] = {4, 8, 18, 0x006e6558 /* "Xen" */, 0x100010, 0};

static int setup(void **state)
{
	(void)state;
	image = calloc(1, IMAGE_BYTES);
	assert_non_null(image);
	header = (Elf64_Ehdr *)image;
	program = (Elf64_Phdr *)(image + sizeof(*header));
	memcpy(header->e_ident, ELFMAG, SELFMAG);
	header->e_ident[EI_CLASS] = ELFCLASS64;
	header->e_ident[EI_DATA] = ELFDATA2LSB;
	header->e_type = ET_EXEC;
	header->e_machine = EM_X86_64;
	header->e_phoff = sizeof(*header);
	header->e_phentsize = sizeof(*program);
	header->e_phnum = 3;
	program[0] = (Elf64_Phdr){.p_type = PT_LOAD,
		.p_offset = 0x400,
		.p_paddr = 0x100000,
		.p_vaddr = 0xffffffff80100000,
		.p_filesz = 0x200,
		.p_memsz = 0x800};
	program[1] = (Elf64_Phdr){.p_type = PT_LOAD,
		.p_offset = 0x600,
		.p_paddr = 0x200000,
		.p_filesz = 0x100,
		.p_memsz = 0x100000};
	program[2] = (Elf64_Phdr){
		.p_type = PT_NOTE, .p_offset = 0x800, .p_filesz = sizeof(note_words), .p_align = 4};
	memcpy(image + 0x800, note_words, sizeof(note_words));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(image);
	return 0;
}

static int read_size(u64 size)
{
	memset(&error, 0, sizeof(error));
	return elf_read(image, size, RAM, TAKEN, PAGE_SIZE, &out, &error);
}

static void refused(const char *what)
{
	assert_int_equal(read_size(IMAGE_BYTES), -SLUICE_EINVAL);
	if (!strstr(error.what, what))
		fail_msg("\"%s\" instead of \"%s\"", error.what, what);
	assert_true(strlen(error.what) < ELF_WHAT_BYTES);
}

static void good_64(void **state)
{
	(void)state;
	assert_int_equal(read_size(IMAGE_BYTES), 0);
	assert_int_equal(out.count, 2);
	assert_int_equal(out.entry, 0x100010);
	assert_int_equal(out.end, 0x300000);
	assert_int_equal(out.segments[1].offset, 0x600);
	assert_int_equal(out.segments[1].bytes, 0x100);
	assert_int_equal(out.segments[1].address, 0x200000);
	assert_int_equal(out.segments[1].memory, 0x100000);
}

static void good_32(void **state)
{
	Elf32_Ehdr *h = (Elf32_Ehdr *)image;
	Elf32_Phdr *p = (Elf32_Phdr *)(image + sizeof(*h));
	static const u32 note[] = {4, 4, 18, 0x006e6558, 0x100020};

	(void)state;
	memset(image, 0, IMAGE_BYTES);
	memcpy(h->e_ident, ELFMAG, SELFMAG);
	h->e_ident[EI_CLASS] = ELFCLASS32;
	h->e_ident[EI_DATA] = ELFDATA2LSB;
	h->e_type = ET_EXEC;
	h->e_machine = EM_386;
	h->e_phoff = sizeof(*h);
	h->e_phentsize = sizeof(*p);
	h->e_phnum = 2;
	p[0] = (Elf32_Phdr){.p_type = PT_LOAD,
		.p_offset = 0x400,
		.p_paddr = 0x100000,
		.p_filesz = 0x10,
		.p_memsz = 0x40};
	p[1] = (Elf32_Phdr){.p_type = PT_NOTE, .p_offset = 0x800, .p_filesz = sizeof(note)};
	memcpy(image + 0x800, note, sizeof(note));
	assert_int_equal(read_size(IMAGE_BYTES), 0);
	assert_int_equal(out.count, 1);
	assert_int_equal(out.entry, 0x100020); /* in .bss: allowed, it is RAM of the image */
}

static void no_elf(void **state)
{
	(void)state;
	image[1] = 'e';
	refused("no ELF");
}

/* Cut anywhere: an error, never a read beyond the end. */
static void truncated(void **state)
{
	(void)state;
	for (u64 size = 0; size < 0x818; size++) {
		u8 *whole = image, *cut = malloc(size ? size : 1);

		assert_non_null(cut);
		memcpy(cut, whole, size);
		image = cut;
		assert_int_equal(read_size(size), -SLUICE_EINVAL);
		image = whole;
		free(cut);
	}
	assert_int_equal(read_size(0x818), 0);
}

static void wrong_kind(void **state)
{
	(void)state;
	header->e_ident[EI_CLASS] = 3;
	refused("class");
	header->e_ident[EI_CLASS] = ELFCLASS64;
	header->e_ident[EI_DATA] = ELFDATA2MSB;
	refused("big-endian");
	header->e_ident[EI_DATA] = ELFDATA2LSB;
	header->e_type = ET_REL;
	refused("type");
	header->e_type = ET_EXEC;
	header->e_machine = EM_AARCH64;
	refused("x86");
	header->e_machine = EM_X86_64;
	header->e_phentsize = 55;
	refused("size of a program header");
}

static void headers_outside(void **state)
{
	(void)state;
	header->e_phoff = IMAGE_BYTES - 8;
	refused("program headers");
	header->e_phoff = ~0UL - 8;
	refused("program headers");
	header->e_phoff = sizeof(*header);
	header->e_phnum = 0xffff;
	refused("program headers");
}

static void segment_outside_file(void **state)
{
	(void)state;
	program[0].p_filesz = IMAGE_BYTES;
	program[0].p_memsz = IMAGE_BYTES;
	refused("truncated");
	assert_int_equal(error.high, IMAGE_BYTES);
	program[0].p_offset = ~0UL - 4;
	refused("truncated");
}

static void segment_outside_ram(void **state)
{
	(void)state;
	program[0].p_paddr = RAM;
	refused("address of a segment");
	assert_int_equal(error.value, RAM);
	assert_int_equal(error.high, RAM);
	program[0].p_paddr = RAM - 0x400;
	refused("size of a segment");
	assert_int_equal(error.value, 0x800);
	assert_int_equal(error.high, 0x400);
	program[0].p_paddr = 0x100000;
	program[0].p_memsz = ~0UL; /* the sum overflows */
	refused("size of a segment");
	program[0].p_paddr = ~0UL - 0x100;
	refused("address of a segment");
}

static void a_bzimage_is_named_with_the_tool_for_it(void **state)
{
	(void)state;
	memset(image, 0, IMAGE_BYTES);
	memcpy(image, "MZ", 2);
	memcpy(image + 0x202, "HdrS", 4);
	refused("is a Linux bzImage");
	assert_non_null(strstr(error.what, "tools/vmlinux.py"));
	assert_false(error.ranged);
	/* Cut off before its header is whole, it is nothing. */
	assert_int_equal(read_size(0x205), -SLUICE_EINVAL);
	assert_string_equal(error.what, "is no ELF file");
}

static void an_elf_file_with_the_same_bytes_is_none(void **state)
{
	(void)state;
	memcpy(image + 0x202, "HdrS", 4);
	assert_int_equal(read_size(IMAGE_BYTES), 0);
}

static void file_beyond_memory(void **state)
{
	(void)state;
	program[0].p_memsz = 0x1ff;
	refused("file size");
}

static void segments_overlap(void **state)
{
	(void)state;
	program[1].p_paddr = 0x1007ff;
	refused("covers another");
	program[1].p_paddr = 0x100800;
	assert_int_equal(read_size(IMAGE_BYTES), 0);
	program[1].p_paddr = TAKEN - 1;
	program[1].p_memsz = 0x100;
	refused("reserved below 1 MiB");
	program[1].p_paddr = TAKEN - 0x100;
	assert_int_equal(read_size(IMAGE_BYTES), 0);
}

static void empty_segments_count_for_nothing(void **state)
{
	(void)state;
	program[1].p_filesz = program[1].p_memsz = 0;
	program[1].p_paddr = ~0UL;
	assert_int_equal(read_size(IMAGE_BYTES), 0);
	assert_int_equal(out.count, 1);
	program[0].p_filesz = program[0].p_memsz = 0;
	refused("no segment");
}

static void too_many_segments(void **state)
{
	(void)state;
	header->e_phnum = ELF_SEGMENTS_MAX + 2;
	program[ELF_SEGMENTS_MAX + 1] = program[2];
	for (unsigned i = 0; i <= ELF_SEGMENTS_MAX; i++)
		program[i] = (Elf64_Phdr){.p_type = PT_LOAD,
			.p_offset = 0xf00,
			.p_paddr = 0x100000 + i * PAGE_SIZE,
			.p_filesz = 8,
			.p_memsz = 16};
	refused("number of segments");
	assert_int_equal(error.high, ELF_SEGMENTS_MAX);
}

static void no_note(void **state)
{
	(void)state;
	program[2].p_type = PT_NULL;
	refused("PVH note");
	program[2].p_type = PT_NOTE;
	((u32 *)(image + 0x800))[2] = 17;
	refused("PVH note");
	((u32 *)(image + 0x800))[2] = 18;
	image[0x80c] = 'Y';
	refused("PVH note");
}

/* Name and description sizes near 4 GiB must not lead the walk astray. */
static void lying_notes(void **state)
{
	u32 *note = (u32 *)(image + 0x800);

	(void)state;
	note[0] = ~0U;
	refused("PVH note");
	note[0] = 4;
	note[1] = ~0U;
	refused("PVH note");
	note[1] = 9;
	refused("PVH note");
	note[1] = 8;
	program[2].p_offset = ~0UL - 8;
	refused("PVH note");
	program[2].p_offset = 0x800;
	program[2].p_filesz = 8;
	refused("PVH note");
}

static void note_behind_others(void **state)
{
	u32 *note = (u32 *)(image + 0x800);
	static const u32 other[] = {5, 3, 1, 0x30303030, 0x30, 0x00414141};

	(void)state;
	memcpy(note, other, sizeof(other));
	memcpy(note + 6, note_words, sizeof(note_words));
	program[2].p_filesz = sizeof(other) + sizeof(note_words);
	assert_int_equal(read_size(IMAGE_BYTES), 0);
	assert_int_equal(out.entry, 0x100010);
}

static void entry_outside(void **state)
{
	u32 *note = (u32 *)(image + 0x800);

	(void)state;
	note[4] = 0x100800;
	refused("PVH entry");
	note[4] = 0x100010;
	note[5] = 1; /* beyond 4 GiB */
	refused("PVH entry");
}

int main(void)
{
#define ELF_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		ELF_TEST(good_64),
		ELF_TEST(good_32),
		ELF_TEST(no_elf),
		ELF_TEST(truncated),
		ELF_TEST(wrong_kind),
		ELF_TEST(headers_outside),
		ELF_TEST(segment_outside_file),
		ELF_TEST(segment_outside_ram),
		ELF_TEST(a_bzimage_is_named_with_the_tool_for_it),
		ELF_TEST(an_elf_file_with_the_same_bytes_is_none),
		ELF_TEST(file_beyond_memory),
		ELF_TEST(segments_overlap),
		ELF_TEST(empty_segments_count_for_nothing),
		ELF_TEST(too_many_segments),
		ELF_TEST(no_note),
		ELF_TEST(lying_notes),
		ELF_TEST(note_behind_others),
		ELF_TEST(entry_outside),
	};

	return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
