/*
 * Fuzzes packs of compressed fragments against the model: the input decides which operations come,
 * where, with which lengths, and which allocations fail. Its first bytes are also taken as a
 * damaged fragment, which must not write outside of the page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tmem_host/pack_model.h"
#include "tests/unit/tmem_host/port.h"

struct input {
	const u8 *bytes;
	size_t size, position;
};

/* The next number below @bound out of the input; 0 when it is used up. */
static u32 choose_from_input(void *argument, u32 bound)
{
	struct input *input = argument;
	u32 value = 0;

	for (u32 reach = 1; reach < bound && input->position < input->size; reach <<= 8)
		value = value << 8 | input->bytes[input->position++];
	return value % bound;
}

static void must(bool good)
{
	if (good)
		return;
	fprintf(stderr, "pack: %s\n", pack_model_error());
	abort();
}

static void decompress(const u8 *bytes, size_t size)
{
	u8 *page = malloc(PAGE_SIZE), *fragment = malloc(size);

	memcpy(fragment, bytes, size);
	(void)!tmem_port_decompress(page, fragment, (u32)size);
	free(fragment);
	free(page);
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size);

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
	struct input input = {bytes, size, 0};
	u8 flags = size ? bytes[0] : 0;
	struct pack_model_config config = {
		.memory_pages = 1024,
		.max_pages = flags & 1 ? 40 : 0,
		.fragments = flags & 2 ? 40 : 300,
		.shortest = flags & 4 ? 1000 : 0,
		.longest = flags & 8 ? 1500 : 3100,
		.failures = flags & 16,
	};
	struct pack_model *model;

	if (flags & 32 && size > 1) {
		decompress(bytes + 1, size - 1);
		return 0;
	}
	model = pack_model_create(&config, choose_from_input, &input);
	input.position = 1;
	for (u32 i = 0; input.position < input.size; i++) {
		must(pack_model_step(model));
		if (i % 64 == 0)
			must(pack_model_check(model));
	}
	must(pack_model_check(model) && pack_model_finish(model));
	return 0;
}
