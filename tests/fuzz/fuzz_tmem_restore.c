/*
 * Fuzzes the reader of streams: whatever it is given, the store stays whole, and what is refused
 * leaves nothing behind. With a first byte that is odd the checks are made right before, since no
 * fuzzer finds checksums by chance; the second byte says how large the pieces are.
 */
#include <stdlib.h>
#include <string.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/store.h"
#include "tests/unit/tmem_host/stream.h"

#define PAGES_MAX 4096U

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size);

/* A page for each record that may be one, so that short inputs can make long streams. */
static struct stream expand(const u8 *bytes, size_t size)
{
	struct stream stream = {.bytes = calloc(1, size + PAGE_SIZE * (size / 64 + 1))};

	while (size) {
		struct tmem_stream_record *record = (void *)(stream.bytes + stream.size);
		size_t part = MIN(size, sizeof(*record));

		memcpy(record, bytes, part);
		bytes += part;
		size -= part;
		stream.size += part;
		if (part < sizeof(*record) || record->type != TMEM_STREAM_PAGE)
			continue;
		part = MIN(size, 8UL);
		memcpy(stream.bytes + stream.size, bytes, part);
		bytes += part;
		size -= part;
		stream.size += PAGE_SIZE;
	}
	return stream;
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
	enum tmem_restore_status status;
	struct tmem_client *client;
	struct stream stream;
	struct tmem *tmem;
	u64 piece;
	s64 error;

	if (size < 3)
		return 0;
	tmem = store_create(PAGES_MAX, 0);
	client = store_client(tmem, 1, bytes[2] & 1 ? 3 : ~0UL);
	piece = bytes[1] ? bytes[1] * 97UL : 1UL << 20;
	stream = expand(bytes + 3, size - 3);
	if (bytes[0] & 1)
		stream_seal(&stream);
	if (bytes[2] & 2)
		host_allocations_until_failure = bytes[2] >> 2;

	status = stream_restore(client, stream.bytes, stream.size, piece, &error);
	host_allocations_until_failure = ~0UL;
	REQUIRE(status != TMEM_RESTORE_MORE && status < TMEM_RESTORE_STATUS_COUNT);
	REQUIRE(error == (status == TMEM_RESTORE_DONE ? 0 : -SLUICE_EINVAL));
	if (status != TMEM_RESTORE_DONE) {
		struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];

		REQUIRE(persistent_pages(client) == 0 && tmem_client_list(client, infos) == 0);
		REQUIRE(tmem_pool_create(client, 0, 0, 0) == 0);
	} else {
		/* What was taken can be saved again, and is as long as what was read of it. */
		struct stream again;

		tmem_client_freeze(client, true);
		REQUIRE(stream_save(client, 100000, &again) == 0);
		REQUIRE(again.size <= stream.size);
		stream_free(&again);
	}
	REQUIRE(store_audit(tmem) == 0 && host_complaints == 0);
	stream_free(&stream);
	store_end_client(client);
	REQUIRE(store_end(tmem) == 0);
	return 0;
}
