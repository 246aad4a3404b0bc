/*
 * Saving to memory and restoring from it (tests/unit/tmem_host/stream.h).
 */
#include "tests/unit/tmem_host/stream.h"

#include <abi/errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tmem_host/port.h"
#include "tmem/stream.h"

static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);

static int copy_out(void *argument, u64 offset, void *bytes, u64 count)
{
	memcpy((u8 *)argument + offset, bytes, count);
	return 0;
}

static int copy_in(void *argument, u64 offset, void *bytes, u64 count)
{
	memcpy(bytes, (const u8 *)argument + offset, count);
	return 0;
}

s64 stream_save_step(struct tmem_client *client, struct tmem_save_state *state, void *to, u64 room)
{
	const struct tmem_transfer transfer = {
		.copy = copy_out, .argument = to, .length = room, .page = page};

	return tmem_save(client, state, &transfer);
}

int stream_save(struct tmem_client *client, u64 room, struct stream *stream)
{
	struct tmem_save_state state = {0};

	*stream = (struct stream){0};
	while (state.phase != TMEM_SAVE_DONE) {
		s64 bytes;

		stream->bytes = realloc(stream->bytes, stream->size + room);
		bytes = stream_save_step(client, &state, stream->bytes + stream->size, room);
		if (bytes < 0)
			return (int)bytes;
		stream->size += (u64)bytes;
	}
	return 0;
}

void stream_free(struct stream *stream)
{
	free(stream->bytes);
	stream->bytes = NULL;
}

s64 stream_restore_step(
	struct tmem_client *client, const u8 *bytes, u64 size, enum tmem_restore_status *status)
{
	/* Of just that size, so that AddressSanitizer sees what is read beyond. */
	u8 *copy = malloc(size ? size : 1);
	const struct tmem_transfer transfer = {
		.copy = copy_in, .argument = copy, .length = size, .page = page};
	s64 result;

	memcpy(copy, bytes, size);
	do
		result = tmem_restore(client, &transfer, status);
	while (result == -SLUICE_EAGAIN);
	free(copy);
	return result;
}

enum tmem_restore_status stream_restore(
	struct tmem_client *client, const u8 *bytes, u64 size, u64 piece, s64 *error)
{
	enum tmem_restore_status status = TMEM_RESTORE_MORE;
	u64 taken = 0, shown = 0;

	while (status == TMEM_RESTORE_MORE) {
		s64 result;

		shown = MIN(size, MAX(shown, taken) + piece);
		result = stream_restore_step(client, bytes + taken, shown - taken, &status);
		*error = MIN(result, 0);
		if (result < 0)
			break;
		if (result == 0 && shown == size && taken < size)
			/* A record that was cut off. */
			size = shown = taken;
		taken += (u64)result;
	}
	return status;
}

u64 stream_next(const struct stream *stream, u64 offset)
{
	const struct tmem_stream_record *record = (const void *)(stream->bytes + offset);

	offset += sizeof(*record) + (record->type == TMEM_STREAM_PAGE ? PAGE_SIZE : 0);
	return MIN(offset, stream->size);
}

void stream_seal(struct stream *stream)
{
	u64 check = 0;

	for (u64 at = 0; at + sizeof(struct tmem_stream_record) <= stream->size;
		at = stream_next(stream, at)) {
		struct tmem_stream_record *record = (void *)(stream->bytes + at);

		if (record->type == TMEM_STREAM_PAGE &&
			stream->size - at < sizeof(*record) + PAGE_SIZE)
			return;
		check = stream_check(
			record, record->type == TMEM_STREAM_PAGE ? record + 1 : NULL, check);
		record->check = check;
	}
}
