/*
 * The tmem engine: a store of 4 KiB pages that guests put, get and flush by handle (docs/tmem.md).
 * Pure logic: memory, copying, time and locks come through tmem/port.h, so the same files compile
 * hosted.
 *
 * All functions may be called from any CPU at once; locking is the engine's own. @page pointers are
 * borrowed for the call, 4 KiB, page-aligned, and may change under the engine's hands (another vCPU
 * of the guest writes); NULL stands for a guest frame that could not be reached.
 */
#ifndef TMEM_TMEM_H
#define TMEM_TMEM_H

#include <abi/tmem_control.h>

#include "lib/types.h"

struct tmem;        /* one store */
struct tmem_client; /* one guest in it */

struct tmem_config {
	u64 max_pages; /* the pool never holds more frames than this; 0 = no limit of its own */
	/* Nothing is ever stored: puts are refused with -ENOSPC and gets miss, but both are
	 * counted, and the sampled ones told (tmem_port_sampled()). */
	bool keys_only;
};

/* What is tried to store pages in less than a frame each. */
#define TMEM_MODE_FILLED   1U /* pages of one repeated word, zeros above all, need none */
#define TMEM_MODE_DEDUP    2U /* equal pages of the client share one */
#define TMEM_MODE_COMPRESS 4U /* LZ4 */

/* A pool that a client may share with those that are granted the same. */
struct tmem_shared_grant {
	u64 uuid[2];
	u32 weight; /* what the client adds to the pool's weight while it shares it; 1..65535 */
};
#define TMEM_SHARED_MAX 8U

/* Groups of clients that share the frames of pages that are equal. */
#define TMEM_GROUPS 8U

struct tmem_client_config {
	u32 weight;         /* share of ephemeral memory under pressure; 1..65535 */
	u64 persistent_max; /* pages; ~0 = the whole pool */
	u64 ephemeral_max;  /* pages, without those of shared pools; 0 = no cap of its own */
	u64 hash_keys[6];   /* random, the client's own */
	u64 guest_pages;    /* the guest's RAM, to age pages by; 0: first in, first out */
	u8 ephemeral_modes, persistent_modes; /* TMEM_MODE_*, or'ed */
	u32 dedup_group; /* 1..TMEM_GROUPS; with TMEM_MODE_DEDUP equal pages of all its members
			    share one frame. 0: of none but the client's */

	/* Which keys of the client's private pools are followed by tmem_port_sampled(): so many of
	 * 2^32. 0: none. Stays as it is for the client's life. */
	u32 sample_threshold;
	void *owner; /* what that is called with */

	const struct tmem_shared_grant *shared; /* borrowed for the call */
	u32 shared_count;                       /* at most TMEM_SHARED_MAX count */
};

struct tmem_handle {
	u64 object[3];
	u32 index;
	s32 pool; /* as the guest gave it */
};

struct tmem_client_stats {
	u64 puts, puts_stored, puts_replaced;
	u64 puts_refused; /* -ENOSPC or -ENOMEM */
	u64 puts_dropped; /* those that failed, for whatever reason, and took an old copy along */
	u64 gets, hits;
	u64 flushes, flushed_pages;
	u64 evictions; /* ephemeral pages dropped by the store */
	u64 ephemeral_puts, ephemeral_gets, ephemeral_hits;
	u64 persistent_puts, persistent_gets, persistent_hits; /* puts that were stored */
	u64 ephemeral_pages, persistent_pages;                 /* now */
	u64 ephemeral_peak, persistent_peak;
	u64 dense_pages;  /* now: without a frame of their own, those of a group left out */
	u64 dense_frames; /* now: that hold the contents of those */
	/* Now, of private pools: pages filled with one word; pages whose frame others may have too,
	 * in a group that is all in its frames; compressed pages, and their bytes. The peaks are
	 * those of pages shared and of bytes compressed. */
	u64 filled_pages, shared_pages, compressed_pages, compressed_bytes;
	u64 shared_peak, compressed_peak;
	u64 equal_found; /* puts of pages that were there already, the client's or its group's */
};

struct tmem_stats {
	u64 frames; /* frames held, data pages */
	u64 metadata_bytes;
	u64 ephemeral_pages, persistent_pages;
	u64 common_frames; /* of frames, those that pages of several clients may have */
	u64 common_peak;   /* how many of these each group had at most, summed */
};

/* Creates a store; NULL if the port gives no memory. */
struct tmem *tmem_create(const struct tmem_config *config);
/* All clients must be gone. */
void tmem_destroy(struct tmem *tmem);

/* A client of the store, without pools; NULL if there is no memory or no place for one. @config is
 * copied. */
struct tmem_client *tmem_client_create(struct tmem *tmem, const struct tmem_client_config *config);
/* Frees up to 64 pages a call; -EAGAIN while there is more, 0 when the client is gone. No other
 * call for this client may be under way or follow. */
int __must_check tmem_client_destroy(struct tmem_client *client);

/* A pool id 0..15, or -EINVAL (reserved flags, persistent and shared, shared without a grant),
 * -ENOSPC (all ids taken), -ENOMEM, -EBUSY (the client shares this pool already, or is being
 * restored). */
int tmem_pool_create(struct tmem_client *client, u64 flags, u64 uuid_lo, u64 uuid_hi);
/* Marks the pool as being destroyed, frees up to 64 pages a call; -EAGAIN while there is more, 0 at
 * the end, -EBADF for an id that names no pool. */
int tmem_pool_destroy(struct tmem_client *client, s64 pool);

/* 0 stored; -EBADF, -EFAULT (@page NULL; an old copy is gone), -ENOSPC (over a cap, or frozen),
 * -ENOMEM. A put that fails leaves no old copy behind. */
int tmem_put(struct tmem_client *client, const struct tmem_handle *handle, const void *page);
/* 0 and the page; -ENOENT miss; -EBADF; -EFAULT (@page NULL; nothing changed). */
int tmem_get(struct tmem_client *client, const struct tmem_handle *handle, void *page);
/* 0, also when absent; -EBADF only for an id that names no pool. */
int tmem_flush_page(struct tmem_client *client, const struct tmem_handle *handle);
/* Up to 64 pages a call; -EAGAIN while there is more. */
int tmem_flush_object(struct tmem_client *client, const struct tmem_handle *handle);

/* ---- Page flip (tmem/flip.c): frames change hands instead of being copied ----------------- */

/* Whether tmem_put_flip() would take the frame at @page over, by a glance without locks: the pool
 * is a private one without modes that look into each page, and has room as far as rules say. */
bool tmem_flips_put(
	const struct tmem_client *client, const struct tmem_handle *handle, const void *page);
/* Whether the page is surely not there, without a lock: what tmem_get() would find and count. */
bool tmem_surely_misses(const struct tmem_client *client, const struct tmem_handle *handle);
/* Whether tmem_get_flip() would give a frame: the page is there, in a frame of its own that came by
 * itself, and a get removes it. */
bool tmem_flips_get(struct tmem_client *client, const struct tmem_handle *handle);
/*
 * tmem_put() of the page in @frame, which nobody else can write any more. *@taken: the frame is the
 * store's from now on, of class tmem for the host; the store gives it back by tmem_port_free() or
 * tmem_get_flip(). Else it was copied from, or the put failed, and stays the caller's.
 */
int tmem_put_flip(
	struct tmem_client *client, const struct tmem_handle *handle, void *frame, bool *taken);
/* tmem_get(), but a hit may come as a frame, the caller's from now on, in *@frame; @page is as it
 * was then. Else *@frame is NULL. */
int tmem_get_flip(
	struct tmem_client *client, const struct tmem_handle *handle, void *page, void **frame);

/* ---- Control (tmem/control.c, save.c, restore.c): by whoever may; no lock is held ---- */

/* A frozen client's puts are refused with -ENOSPC; gets and flushes are served. */
void tmem_client_freeze(struct tmem_client *client, bool frozen);
/* 0, or -EINVAL if @weight is not in 1..65535. */
int tmem_client_set_weight(struct tmem_client *client, u64 weight);
/* Both in pages, ~0 = no cap of its own. Persistent pages beyond it stay; of ephemeral ones the
 * oldest go, 64 a call: -EAGAIN while there are more, else 0. */
int tmem_client_set_caps(struct tmem_client *client, u64 persistent_max, u64 ephemeral_max);
/* The number of pools, described in @infos (room for TMEM_POOLS_PER_GUEST). */
unsigned tmem_client_list(struct tmem_client *client, struct tmem_pool_info *infos);
/* Fills in what the engine knows of @info: weight, caps, pages, frozen, restoring. */
void tmem_client_info(struct tmem_client *client, struct tmem_guest_info *info);

/* Where a stream goes to or comes from: the caller's buffer, reached through @copy. */
struct tmem_transfer {
	/* Copies @count bytes between @bytes and the buffer from @offset on; 0 or a negative errno.
	 * Called without any lock of the engine. */
	int (*copy)(void *argument, u64 offset, void *bytes, u64 count);
	void *argument;
	u64 length;
	void *page; /* 4 KiB, page-aligned: the engine's while the call lasts */
};

/*
 * Writes the next records of the client's pools and persistent pages, whole ones only and a bounded
 * number a call. @state, all zeros before the first call, is the caller's word: whatever stands in
 * it can spoil no stream but its own. Returns the bytes written, maybe none; the caller goes on
 * until state->phase is TMEM_SAVE_DONE. -EINVAL if the client is not frozen or was thawed since the
 * save began, if the state makes no sense, or if @length has no room for one record; or what @copy
 * returned.
 */
s64 tmem_save(
	struct tmem_client *client, struct tmem_save_state *state, const struct tmem_transfer *to);

/*
 * Takes the next whole records of a stream: whatever comes is checked before it is believed. The
 * first call begins a restore, for which the client must have no pools (-EBUSY otherwise, or while
 * another call is at work). Until the end has been read, the client's guest sees none of it.
 * Returns the bytes taken, maybe none when the buffer ends within a record; a @length of 0 says
 * that the stream is at its end. *@status tells how it stands; from TMEM_RESTORE_BAD on all is
 * dropped again and the result is -EINVAL. -EAGAIN: call again with the same arguments, pages are
 * being dropped. What
 * @copy returned if nothing was taken.
 */
s64 tmem_restore(struct tmem_client *client, const struct tmem_transfer *from,
	enum tmem_restore_status *status);
/* Drops what a restore has brought that is not done, 64 pages a call: -EAGAIN while there is more,
 * 0 also if there is none, -EBUSY while a call is at work on it. */
int tmem_restore_abandon(struct tmem_client *client);

/* A client that neither puts nor gets for so many ticks is idle: until it comes back its share is
 * lent, and its pages are the first to go. */
#define TMEM_IDLE_TICKS 10U

/* To be called at a steady pace, ten times a second in the hypervisor; a host that never calls it
 * has no idle clients. Any CPU. */
void tmem_tick(struct tmem *tmem);

/*
 * Takes up to @max ephemeral pages away, all from one block, and hands their frames over to the
 * caller (still of class tmem, contents another guest's: scrub). Returns how many @pages were
 * filled in. No lock may be held by the caller.
 */
unsigned tmem_reclaim(struct tmem *tmem, void **pages, unsigned max);

/* What persistent pages of all clients may hold, in frames, for the entitlement rule: one a page,
 * and what packs hold beyond that after flushes. It never grows but by a page that was admitted. */
u64 tmem_persistent_held(const struct tmem *tmem);

/* Counts so far. Any CPU, while clients work: each figure is right, all together are of no single
 * moment. tmem_stats() takes the arena's lock. */
void tmem_client_stats(const struct tmem_client *client, struct tmem_client_stats *stats);
void tmem_stats(const struct tmem *tmem, struct tmem_stats *stats);

/* Audit: calls @visit for every 4 KiB frame that the store holds (data, free slots of its blocks
 * and metadata), then checks the index against the descriptors. 0, or -EINVAL with a message
 * through the port. The world is stopped. */
int __must_check tmem_audit(
	struct tmem *tmem, void (*visit)(void *page, void *argument), void *argument);

#endif
