/* The control calls, in the way in which a tool would use them. */
#include "roles.h"

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

struct tmem_guest_info guest_info(uint64_t guest)
{
	struct tmem_guest_info info;

	memset(&info, 0xff, sizeof(info));
	if (hypercall2(HYPERCALL_TMEM_GUEST, guest, (uint64_t)&info))
		info.name[0] = 0;
	return info;
}

uint64_t guest_named(const char *name)
{
	for (uint64_t guest = 0;; guest++) {
		struct tmem_guest_info info = guest_info(guest);

		if (equal(info.name, name))
			return guest;
		if (!info.name[0])
			guest = ~0ul;
	}
}

int64_t save_all(uint64_t guest, uint8_t *stream, uint64_t room)
{
	struct tmem_save_state state;
	uint64_t size = 0;

	memset(&state, 0, sizeof(state));
	while (state.phase != TMEM_SAVE_DONE) {
		int64_t bytes = hypercall6(HYPERCALL_TMEM_SAVE, guest, (uint64_t)&state,
			(uint64_t)stream + size, room - size, 0, 0);

		if (bytes < 0)
			return bytes;
		size += (uint64_t)bytes;
	}
	return (int64_t)size;
}

int64_t restore_step(uint64_t guest, const uint8_t *stream, uint64_t size, uint32_t *status)
{
	*status = ~0u;
	return hypercall6(
		HYPERCALL_TMEM_RESTORE, guest, (uint64_t)status, (uint64_t)stream, size, 0, 0);
}

int64_t restore_all(uint64_t guest, const uint8_t *stream, uint64_t size, uint32_t *status)
{
	uint64_t taken = 0;
	int64_t bytes;

	do {
		bytes = restore_step(guest, stream + taken, size - taken, status);
		if (bytes < 0)
			return bytes;
		/* What is left is less than a record: there is no more. */
		taken = bytes ? taken + (uint64_t)bytes : size;
	} while (*status == TMEM_RESTORE_MORE);
	return bytes;
}
