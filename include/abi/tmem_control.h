/*
 * Control of other guests' tmem, for guests that the manifest calls privileged: what the hypercalls
 * from HYPERCALL_TMEM_GUEST on read and write in memory, and the stream that a guest's persistent
 * pages are saved in. All structures are little-endian and without holes.
 */
#ifndef ABI_TMEM_CONTROL_H
#define ABI_TMEM_CONTROL_H

#include <stdint.h>

/* ---- Guests and their pools --------------------------------------------------------- */

#define TMEM_GUEST_HAS_TMEM  0x1u
#define TMEM_GUEST_RUNNING   0x2u
#define TMEM_GUEST_FROZEN    0x4u
#define TMEM_GUEST_RESTORING 0x8u

/* How a pool stores pages in less than a frame each. */
#define TMEM_POOL_MODE_FILLED   0x1u
#define TMEM_POOL_MODE_DEDUP    0x2u
#define TMEM_POOL_MODE_COMPRESS 0x4u

#define TMEM_UNLIMITED (~(uint64_t)0)

struct tmem_guest_info {
	char name[32];  /* as in the manifest, zeros behind it */
	uint32_t flags; /* TMEM_GUEST_... */
	uint32_t weight;
	uint64_t persistent_max, ephemeral_max; /* pages, or TMEM_UNLIMITED */
	uint64_t persistent_pages, ephemeral_pages;
	/* Now: pages filled with one word, which take no frame; pages whose frame others may have
	 * too; compressed ones, and their bytes. The frames that the latter two stand in. */
	uint64_t filled_pages, shared_pages, compressed_pages, compressed_bytes;
	uint64_t dense_frames;
	uint64_t zero[2];
};
_Static_assert(sizeof(struct tmem_guest_info) == 128, "a guest's information is 128 bytes");

struct tmem_pool_info {
	uint32_t id, flags; /* of TMEM_POOL_NEW */
	uint64_t uuid[2];
	/* Now. Of a shared pool, this and the evictions are those of all sharers. */
	uint64_t pages;
	uint64_t puts, gets, hits; /* puts: those that were stored */
	uint64_t replaced;         /* of the puts, those to a handle that was stored */
	uint64_t flushes;          /* calls */
	uint64_t flushed_pages;
	uint64_t evictions;
	uint64_t refusals; /* puts: over a cap, frozen, or no memory */
	uint64_t dropped;  /* old copies that went with a put that failed, for whatever reason */
	/* Of the pages: those filled with one word, those whose frame others may have too, and
	 * compressed ones, with their bytes. 0 of a shared pool. */
	uint32_t filled_pages, shared_pages, compressed_pages;
	uint32_t modes; /* TMEM_POOL_MODE_... */
	uint64_t compressed_bytes;
};
_Static_assert(sizeof(struct tmem_pool_info) == 128, "a pool's information is 128 bytes");

/* ---- The stream --------------------------------------------------------------------- */

/* "SLUICETM" */
#define TMEM_STREAM_MAGIC   0x4d54454349554c53ull
#define TMEM_STREAM_VERSION 1

enum tmem_stream_type {
	TMEM_STREAM_BEGIN = 1, /* words: magic, version, 0. The first record, and only it */
	TMEM_STREAM_POOL,      /* pool, flags; words: uuid, 0. Before the pages in it */
	TMEM_STREAM_PAGE,      /* pool, index; words: object. 4096 bytes follow */
	TMEM_STREAM_END,       /* words: number of pools, number of pages, 0. The last record */
};

/* @check is XXH64 of what stands before it, with the check of the record before as the seed (0 at
 * first); of a page's record then XXH64 of the 4096 bytes, with that as the seed. So no record can
 * be lost, repeated or moved. Fields that a type does not name are zero. */
struct tmem_stream_record {
	uint32_t type;
	uint32_t pool, index, flags;
	uint64_t words[3];
	uint64_t zero[2];
	uint64_t check;
};
_Static_assert(sizeof(struct tmem_stream_record) == 64, "a record is 64 bytes");

enum tmem_save_phase {
	TMEM_SAVE_BEGIN,
	TMEM_SAVE_POOLS,
	TMEM_SAVE_PAGES,
	TMEM_SAVE_END,
	TMEM_SAVE_DONE, /* the last record has been written */
};

/* How far a save has come: the caller keeps it, all zeros before the first call. */
struct tmem_save_state {
	uint32_t phase; /* enum tmem_save_phase */
	uint32_t epoch;
	uint64_t cursor, check;
	uint64_t pools, pages; /* written so far */
	uint64_t zero[3];
};
_Static_assert(sizeof(struct tmem_save_state) == 64, "the state of a save is 64 bytes");

/* What has become of a restore. From TMEM_RESTORE_BAD on the stream is wrong or cannot be taken,
 * and nothing of it has stayed. */
enum tmem_restore_status {
	TMEM_RESTORE_MORE, /* the stream goes on */
	TMEM_RESTORE_DONE, /* its end was read, and the guest sees its pages */
	TMEM_RESTORE_BAD_MAGIC,
	TMEM_RESTORE_BAD_VERSION,
	TMEM_RESTORE_BAD_TYPE,  /* of a record, or BEGIN not in its place */
	TMEM_RESTORE_BAD_CHECK, /* a checksum */
	TMEM_RESTORE_BAD_FIELD, /* a field that must be zero is not */
	TMEM_RESTORE_BAD_POOL,  /* no such id or flags; a page of a pool without persistent pages */
	TMEM_RESTORE_DUPLICATE, /* a pool or page that came before */
	TMEM_RESTORE_BAD_COUNT, /* the end tells other numbers */
	TMEM_RESTORE_TRUNCATED, /* no end */
	TMEM_RESTORE_NO_ROOM,   /* no memory, or over the guest's cap */
	TMEM_RESTORE_NOT_SHARED, /* the manifest does not let the guest share this pool */
	TMEM_RESTORE_STATUS_COUNT,
};
#define TMEM_RESTORE_BAD TMEM_RESTORE_BAD_MAGIC

#endif
