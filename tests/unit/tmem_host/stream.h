/*
 * Streams of saved clients in memory: what the hypercalls do with a guest's memory, the tests do
 * with a buffer.
 */
#ifndef TESTS_TMEM_STREAM_H
#define TESTS_TMEM_STREAM_H

#include "lib/types.h"
#include "tmem/tmem.h"

struct stream {
	u8 *bytes;
	u64 size;
};

/* Saves a frozen client, at most @room bytes a call; 0 or the errno. The stream is the caller's to
 * free. */
int stream_save(struct tmem_client *client, u64 room, struct stream *stream);
void stream_free(struct stream *stream);
/* One call of a save that goes on: the bytes written to @to, or the errno. */
s64 stream_save_step(struct tmem_client *client, struct tmem_save_state *state, void *to, u64 room);

/* Restores from @size bytes, shown in pieces that grow by @piece bytes, then says that this is all;
 * the last status, and the errno in *@error. */
enum tmem_restore_status stream_restore(
	struct tmem_client *client, const u8 *bytes, u64 size, u64 piece, s64 *error);
/* One call: the bytes taken or the errno. */
s64 stream_restore_step(
	struct tmem_client *client, const u8 *bytes, u64 size, enum tmem_restore_status *status);

/* The records of a stream one by one: the offset of the next, the size at the end. */
u64 stream_next(const struct stream *stream, u64 offset);
/* Makes the checks of all whole records right again after a change. */
void stream_seal(struct stream *stream);

#endif
