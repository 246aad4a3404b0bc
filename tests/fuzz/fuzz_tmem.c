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
	bool stirs;
	u64 state;
};

/* The next number below @bound out of the input; 0 when it is used up. */
static u32 choose_from_input(void *argument, u32 bound)
{
	struct input *input = argument;
	u32 value = 0;

	if (input->stirs)
		return (u32)(host_random(&input->state) >> 32) % bound;
	for (u32 reach = 1; reach < bound && input->position < input->size; reach <<= 8)
		value = value << 8 | input->bytes[input->position++];
	return value % bound;
}

/* In place of several bytes a decision, one byte stirs the generator for a whole operation: so an
 * input of the same length goes much deeper. */
static void stir(struct input *input)
{
	if (input->stirs)
		input->state =
			(input->state + input->bytes[input->position++]) * 0x9e3779b97f4a7c15UL | 1;
}

static void must(bool good)
{
	if (good)
		return;
	fprintf(stderr, "tmem: %s\n", model_error());
	abort();
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size);

/* The first byte: of what size the store is, and whose. */
#define SMALL_STORE     0x01U
#define ONE_CLIENT      0x02U
#define FEW_PERSISTENT  0x04U
#define EXACT           0x08U /* without anything of the second byte, nor little memory */
#define KEYS_COLLIDE    0x10U
#define LITTLE_MEMORY   0x20U
#define DECISIONS_BYTES 0x40U
/* The second: TMEM_MODE_* of ephemeral pools, in which of these persistent ones differ, and what
 * goes with them. All combinations are valid. */
#define MODES            0x07U
#define GROUPS           0x08U
#define FIRST_IN         0x10U
#define PERSISTENT_SHIFT 5
#define HEADER           2U

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
	struct input input = {bytes, size, HEADER, .state = 1};
	u8 store = size >= HEADER ? bytes[0] : 0, pools = size >= HEADER ? bytes[1] : 0;
	struct model_config config = {
		.memory_pages = store & LITTLE_MEMORY ? 512 : 2048,
		.max_pages = store & SMALL_STORE ? 20 : 600,
		.clients = store & ONE_CLIENT ? 1 : 4,
		.weights = {1, 3, 9, 2},
		.persistent_max = store & FEW_PERSISTENT ? 10 : ~0UL,
		.exact = (store & EXACT) && !pools && !(store & LITTLE_MEMORY),
		.bad_keys = store & KEYS_COLLIDE,
		.ephemeral_modes = pools & MODES,
		.persistent_modes = (u8)((pools ^ pools >> PERSISTENT_SHIFT) & MODES),
		.groups = pools & GROUPS,
		.first_in_first_out = pools & FIRST_IN,
	};
	struct model *model = model_create(&config, choose_from_input, &input);

	input.stirs = !(store & DECISIONS_BYTES);
	for (u32 i = 0; input.position < input.size; i++) {
		stir(&input);
		must(model_step(model));
		if (i % 64 == 0)
			must(model_check(model));
	}
	must(model_check(model));
	must(model_finish(model));
	return 0;
}
