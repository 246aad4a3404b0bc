/* Any bytes as a guest's kernel: what is accepted lies wholly inside the file and inside its RAM.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "arch/x86/guest/elf.h"

#define RAM   MIB(16)
#define TAKEN 0x9000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image image;
	struct elf_error error = {0};
	bool entry = false;

	if (elf_read(data, size, RAM, TAKEN, PAGE_SIZE, &image, &error)) {
		REQUIRE(error.what && strlen(error.what) < ELF_WHAT_BYTES);
		return 0;
	}
	REQUIRE(image.count >= 1 && image.count <= ELF_SEGMENTS_MAX && image.end <= RAM);
	for (unsigned i = 0; i < image.count; i++) {
		const struct elf_segment *s = &image.segments[i];

		REQUIRE(s->offset <= size && s->bytes <= size - s->offset);
		REQUIRE(s->memory > 0 && s->bytes <= s->memory);
		REQUIRE(s->address < RAM && s->memory <= RAM - s->address);
		REQUIRE(s->address + s->memory <= image.end);
		REQUIRE(s->address + s->memory <= TAKEN || s->address >= TAKEN + PAGE_SIZE);
		for (unsigned k = 0; k < i; k++) {
			const struct elf_segment *other = &image.segments[k];

			REQUIRE(s->address + s->memory <= other->address ||
				other->address + other->memory <= s->address);
		}
		entry |= image.entry >= s->address && image.entry - s->address < s->memory;
	}
	REQUIRE(entry);
	return 0;
}
