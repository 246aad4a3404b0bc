/*
 * Restoring a client from a stream that anybody may have written: nothing is believed before it is
 * checked, and a stream that turns out wrong, at whatever place, leaves nothing behind. Pools that
 * are being restored are hidden from their guest until the end has been read.
 *
 * The state is in struct tmem_client, under its lock; @busy keeps a second call away while the
 * first one has released the lock to read or to make room.
 */
#include <string.h>

#include <abi/errno.h>

#include "tmem/client.h"
#include "tmem/index.h"
#include "tmem/shared.h"
#include "tmem/stream.h"

enum phase {
	PHASE_NONE,
	PHASE_BEGIN,   /* its first record is awaited */
	PHASE_RECORDS, /* and now further ones */
	PHASE_FAILED,  /* what it brought is being dropped */
};

/* What comes of a record: MORE, DONE or what is wrong. */
typedef enum tmem_restore_status status_t;

static bool is_zero(const struct tmem_stream_record *record, u32 fields)
{
	return !(fields | record->zero[0] | record->zero[1]);
}

/* ---- The records -------------------------------------------------------------------- */

static status_t take_begin(struct restore *restore, const struct tmem_stream_record *record)
{
	if (record->words[0] != TMEM_STREAM_MAGIC || record->type != TMEM_STREAM_BEGIN)
		return TMEM_RESTORE_BAD_MAGIC;
	if (record->words[1] != TMEM_STREAM_VERSION)
		return TMEM_RESTORE_BAD_VERSION;
	if (!is_zero(record, record->pool | record->index | record->flags) || record->words[2])
		return TMEM_RESTORE_BAD_FIELD;
	WRITE_ONCE(restore->phase, PHASE_RECORDS);
	return TMEM_RESTORE_MORE;
}

static int add_private_pool(struct tmem_client *client, int id, u32 flags, const u64 uuid[2])
{
	int result;

	client_lock(client);
	result = client_add_pool(client, id, flags, uuid, NULL);
	client_unlock(client);
	return result;
}

static status_t take_pool(struct tmem_client *client, const struct tmem_stream_record *record)
{
	int result;

	if (!is_zero(record, record->index) || record->words[2])
		return TMEM_RESTORE_BAD_FIELD;
	if (record->pool >= TMEM_POOLS_PER_GUEST ||
		(record->flags != TMEM_POOL_SHARED && !pool_flags_are_valid(record->flags)))
		return TMEM_RESTORE_BAD_POOL;
	if (client->pools[record->pool])
		return TMEM_RESTORE_DUPLICATE;
	if (record->flags == TMEM_POOL_SHARED)
		result = shared_join(client, (int)record->pool, record->words);
	else
		result = add_private_pool(client, (int)record->pool, record->flags, record->words);
	client->restore.pools++;
	if (result >= 0)
		return TMEM_RESTORE_MORE;
	if (result == -SLUICE_ENOMEM)
		return TMEM_RESTORE_NO_ROOM;
	return result == -SLUICE_EBUSY ? TMEM_RESTORE_DUPLICATE : TMEM_RESTORE_NOT_SHARED;
}

static status_t take_page(
	struct tmem_client *client, const struct tmem_stream_record *record, const void *page)
{
	struct tmem_handle handle = {.index = record->index, .pool = (s32)record->pool};
	struct position position;
	struct pool *pool;
	int result;

	if (!is_zero(record, record->flags))
		return TMEM_RESTORE_BAD_FIELD;
	memcpy(handle.object, record->words, sizeof(handle.object));
	client_lock(client);
	pool = named_pool(client, handle.pool);
	if (!pool || !pool->persistent)
		result = TMEM_RESTORE_BAD_POOL;
	else if (pool_find(pool, handle.object, handle.index, &position))
		result = TMEM_RESTORE_DUPLICATE;
	else
		result = client_put(client, &handle, page, true) ? TMEM_RESTORE_NO_ROOM
								 : TMEM_RESTORE_MORE;
	client_unlock(client);
	client->restore.pages++;
	return (status_t)result;
}

static status_t take_end(struct tmem_client *client, const struct tmem_stream_record *record)
{
	if (!is_zero(record, record->pool | record->index | record->flags) || record->words[2])
		return TMEM_RESTORE_BAD_FIELD;
	if (record->words[0] != client->restore.pools || record->words[1] != client->restore.pages)
		return TMEM_RESTORE_BAD_COUNT;
	client_lock(client);
	client->restore.phase = PHASE_NONE;
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++)
		if (client->pools[id])
			special_set(client, client->pools[id]);
	client_unlock(client);
	return TMEM_RESTORE_DONE;
}

/* @page: what follows a record of that type. Called by the one who made the restore busy. */
static status_t take(
	struct tmem_client *client, const struct tmem_stream_record *record, const void *page)
{
	struct restore *restore = &client->restore;
	u64 check = stream_check(record, page, restore->check);
	status_t status = TMEM_RESTORE_MORE;

	/* A stream of another kind or version may well have other checks. */
	if (restore->phase == PHASE_BEGIN)
		status = take_begin(restore, record);
	if (status == TMEM_RESTORE_MORE && check != record->check)
		status = TMEM_RESTORE_BAD_CHECK;
	restore->check = check;
	if (status != TMEM_RESTORE_MORE || record->type == TMEM_STREAM_BEGIN)
		return status;
	switch (record->type) {
	case TMEM_STREAM_POOL:
		return take_pool(client, record);
	case TMEM_STREAM_PAGE:
		return take_page(client, record, page);
	default:
		return take_end(client, record);
	}
}

/* ---- The reader --------------------------------------------------------------------- */

/* Whether a record of this type may come now. */
static bool may_come(const struct restore *restore, u32 type)
{
	/* What is no stream is told by its magic number. */
	if (restore->phase == PHASE_BEGIN)
		return true;
	return type == TMEM_STREAM_POOL || type == TMEM_STREAM_PAGE || type == TMEM_STREAM_END;
}

/* Reads and takes the record at @offset. The bytes it takes, 0 if the buffer ends before it does,
 * or what the copy returned. */
static s64 next_record(
	struct tmem_client *client, const struct tmem_transfer *from, u64 offset, status_t *status)
{
	u64 left = from->length - offset, bytes = sizeof(struct tmem_stream_record);
	struct tmem_stream_record record;
	void *page = NULL;
	int error;

	if (left < bytes)
		return 0;
	error = from->copy(from->argument, offset, &record, sizeof(record));
	if (error)
		return error;
	if (!may_come(&client->restore, record.type)) {
		*status = TMEM_RESTORE_BAD_TYPE;
		return (s64)bytes;
	}
	if (record.type == TMEM_STREAM_PAGE && client->restore.phase == PHASE_RECORDS) {
		page = from->page;
		bytes += PAGE_SIZE;
		if (left < bytes)
			return 0;
		error = from->copy(from->argument, offset + sizeof(record), page, PAGE_SIZE);
		if (error)
			return error;
	}
	*status = take(client, &record, page);
	return (s64)bytes;
}

/* Takes hold of the client's restore, or begins one; -EBUSY if that cannot be. */
static int begin(struct tmem_client *client)
{
	struct restore *restore = &client->restore;
	bool has_pools = false;
	int result = -SLUICE_EBUSY;

	client_lock(client);
	for (unsigned id = 0; id < TMEM_POOLS_PER_GUEST; id++)
		has_pools |= client->pools[id] != NULL;
	if (!restore->busy && (restore->phase || !has_pools)) {
		if (!restore->phase)
			*restore = (struct restore){.phase = PHASE_BEGIN};
		restore->busy = true;
		result = 0;
	}
	client_unlock(client);
	return result;
}

static void release(struct tmem_client *client)
{
	client_lock(client);
	client->restore.busy = false;
	client_unlock(client);
}

/* From now on pages are only dropped. */
static void fail(struct tmem_client *client, status_t status)
{
	client_lock(client);
	client->restore.phase = PHASE_FAILED;
	client->restore.status = (u8)status;
	client_unlock(client);
}

/* A step of dropping what a failed restore brought: -EAGAIN, or 0 once all is gone. */
static int drop(struct tmem_client *client)
{
	int result = client_drop_pools(client);

	if (result)
		return result;
	client_lock(client);
	client->restore.phase = PHASE_NONE;
	client_unlock(client);
	return 0;
}

static s64 take_records(
	struct tmem_client *client, const struct tmem_transfer *from, status_t *status)
{
	u64 offset = 0;

	if (client->restore.phase != PHASE_FAILED && !from->length)
		*status = TMEM_RESTORE_TRUNCATED;
	for (unsigned i = 0; i < STREAM_STEP_RECORDS && client->restore.phase != PHASE_FAILED &&
			     *status == TMEM_RESTORE_MORE;
		i++) {
		s64 bytes = next_record(client, from, offset, status);

		if (bytes < 0 && !offset)
			return bytes;
		if (bytes <= 0)
			break;
		offset += (u64)bytes;
	}
	if (*status >= TMEM_RESTORE_BAD)
		fail(client, *status);
	if (client->restore.phase != PHASE_FAILED)
		return (s64)offset;
	*status = (status_t)client->restore.status;
	return drop(client) ? -SLUICE_EAGAIN : -SLUICE_EINVAL;
}

s64 tmem_restore(struct tmem_client *client, const struct tmem_transfer *from, status_t *status)
{
	s64 result;

	*status = TMEM_RESTORE_MORE;
	result = begin(client);
	if (result)
		return result;
	result = take_records(client, from, status);
	release(client);
	return result;
}

int tmem_restore_abandon(struct tmem_client *client)
{
	int result = -SLUICE_EBUSY;
	bool any;

	client_lock(client);
	any = client->restore.phase != PHASE_NONE;
	if (!client->restore.busy) {
		client->restore.busy = any;
		result = 0;
	}
	client_unlock(client);
	if (result || !any)
		return result;
	fail(client, TMEM_RESTORE_TRUNCATED);
	result = drop(client);
	release(client);
	return result;
}
