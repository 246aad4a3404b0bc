/*
 * Fuzzes the operations of the tmem engine against the model: the input decides which operations
 * come, where, which allocations fail, and how large the store is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/tmem_host/model.h"
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
	fprintf(stderr, "tmem: %s\n", model_error());
	abort();
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size);

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
	struct input input = {bytes, size, 0};
	u8 flags = size ? bytes[0] : 0;
	struct model_config config = {
		.memory_pages = 2048,
		.max_pages = flags & 1 ? 20 : 600,
		.clients = flags & 2 ? 1 : 3,
		.weights = {1, 3, 9},
		.persistent_max = flags & 4 ? 10 : ~0UL,
		.exact = (flags & 8) && !(flags & 32),
		.bad_keys = flags & 16,
		.modes = flags & 32 ? (u8)(flags >> 6 | TMEM_MODE_DEDUP) : 0,
		.groups = flags & 32,
	};
	struct model *model = model_create(&config, choose_from_input, &input);

	input.position = 1;
	for (u32 i = 0; input.position < input.size; i++) {
		must(model_step(model));
		if (i % 64 == 0)
			must(model_check(model));
	}
	must(model_check(model));
	must(model_finish(model));
	return 0;
}
