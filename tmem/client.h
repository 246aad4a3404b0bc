/*
 * A client: what it has, its lock, and what the files of the engine do for it. The client lock
 * guards everything here; fields that other CPUs read without it are written with WRITE_ONCE.
 */
#ifndef TMEM_CLIENT_H
#define TMEM_CLIENT_H

#include <abi/hypercall.h>

#include "lib/types.h"
#include "tmem/arena.h"
#include "tmem/pool.h"

#define TMEM_WEIGHT_MAX 65535U

/* Slots at hand: a put takes the one that was freed last, whose frame is likely to be in the cache.
 */
#define MAGAZINE_SLOTS        63U
#define MAGAZINE_BATCH        32U
#define DENSE_PAGES_PER_FRAME 64U
#define MAGAZINE_IDLE         4U /* kept by a client without pages */

struct magazine {
	union {
		struct {
			u32 count;
			u32 slots[MAGAZINE_SLOTS];
		};
		u32 words[1 + MAGAZINE_SLOTS]; /* the same */
	};
};

struct dense;
struct dedup_group;

/* A restore under way: see tmem/restore.c. */
struct restore {
	u8 phase;
	u8 status; /* enum tmem_restore_status, once it has failed */
	bool busy; /* a call is at work on it */
	u64 check, pools, pages;
};

/* Pages in order of age: see tmem/page_list.h. */
struct page_list {
	struct page head;
	struct page *newest_page;
	u32 newest; /* slot */
	u32 state;  /* enum slot_state, as it stands in page.prev */
};

/* Ephemeral pages that cost no frame worth their going: those of many with the same content, and
 * those filled with one word. They go for their slots, and before others only if a client may hold
 * no more pages; the former also for the last frames. */
#define LIST_CHEAP  2U
#define LIST_FILLED 3U
#define LISTS       4U

/* Where the last slot lay that was used: 256 slots whose frames stand in a row. */
#define HALF_SHIFT 8
#define HALF_NONE  ~0U
struct slot_half {
	u32 number; /* of the slots, without the lowest 8 bits; HALF_NONE: the rest says nothing */
	struct page *records;
	u8 *frames;
	struct block *block;
	struct magazine *magazine; /* of the class that the block had then */
};

struct aging;
struct position;

struct tmem_client {
	struct tmem_lock lock;
	bool alive;
	bool frozen;
	bool is_owner;   /* of a shared pool */
	u8 number;       /* in tmem->clients */
	u8 patience;     /* of arena_is_dry() */
	bool filter_due; /* client_filter_work() has something to do */
	u32 weight;
	bool used;   /* it put or got since the last tick */
	u32 used_at; /* the last tick at which @used was found set */
	struct tmem *tmem;
	u64 persistent_max, ephemeral_max;
	u8 modes[TMEM_CLASSES];    /* TMEM_MODE_*, of new pools */
	struct dense *dense;       /* NULL if no mode is on */
	struct dedup_group *group; /* NULL: equal pages are the client's own alone */
	/* What dense_account() found: pages without a frame of their own, and the frames that hold
	 * their contents. */
	u64 dense_pages[TMEM_CLASSES], dense_frames[TMEM_CLASSES];
	u64 common_pages;      /* ephemeral, with a content of the group */
	u64 persistent_excess; /* frames of persistent packs that are more than their pages */
	u32 freezes;           /* how often it was frozen */
	/* Of the owner of a shared pool; @sharers and @life are guarded by the sharers' lock too.
	 */
	u32 sharers;
	u32 calls; /* under way for sharers: it stays until they have ended */
	u32 life;  /* which one of those that had this structure */
	/* Of the lock: see client_begin_look(). */
	u32 turns_begun, turns_ended;
	struct pool *pools[TMEM_POOLS_PER_GUEST];
	/* The same, but where there is no pool one that is special: so the short ways need not ask.
	 */
	struct pool *called[TMEM_POOLS_PER_GUEST];
	/* By the pools' ids: recent_key[0]. Of a pool that is gone it says nothing. */
	u64 recent_words[TMEM_POOLS_PER_GUEST];
	struct page_list lists[LISTS];       /* of ephemeral pages: by enum queue, and LIST_* */
	u64 main_pages;                      /* of them, in the second list, */
	u64 aside_pages[LISTS - LIST_CHEAP]; /* and in those from LIST_CHEAP on */
	struct aging *aging;                 /* NULL: all are in the first list */
	struct slot_half half;
	u64 hash_keys[6];
	u32 sample_threshold;
	void *owner;                    /* for tmem_port_sampled() */
	u32 pools_end;                  /* no pool ever had a higher number */
	u64 private_puts, private_gets; /* of private pools that are gone */
	/* The live counts, and what the pools do not count: of puts those that failed, of flushes
	 * those of no pool. */
	struct tmem_client_stats stats;
	struct pool_counts past[TMEM_CLASSES]; /* of pools that are gone */
	struct tmem_shared_grant shared[TMEM_SHARED_MAX];
	u32 shared_count;
	struct restore restore;
	struct magazine magazines[SLOT_CLASSES]; /* by the class of the slots' blocks */
	struct filter *dead_filters;             /* of pools that are gone, chained */
};
_Static_assert(sizeof(struct tmem_client) <= PAGE_SIZE, "a client is one page");

/* The client's lock; no two clients' are held at once. */
static inline void client_lock(struct tmem_client *client)
{
	tmem_port_lock(&client->lock);
	client->turns_begun++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void client_unlock(struct tmem_client *client)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	client->turns_ended++;
	tmem_port_unlock(&client->lock);
}

/*
 * For a look at the index without the lock: the turns of the lock that had ended when it began. It
 * holds if no other has begun at its end: then nothing was changed meanwhile. A number comes again
 * after 2^32 turns, which no look outlasts. The writers need no atomic operation, since stores and
 * loads of a word are seen in order (x86).
 */
static inline u32 client_begin_look(const struct tmem_client *client)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&client->turns_ended, __ATOMIC_ACQUIRE);
}
static inline bool client_look_holds(const struct tmem_client *client, u32 turns)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return READ_OPERAND(client->turns_begun) == turns;
}

/* The client is at work: its share is its own for the next TMEM_IDLE_TICKS. */
static inline void client_note_use(struct tmem_client *client)
{
	WRITE_ONCE(client->used, true);
}

/* The pool a guest named, or NULL. It may have been made just now, while the lock is not held. */
static inline struct pool *named_pool(const struct tmem_client *client, s32 id)
{
	u64 number = (u32)id; /* and no "pools[id]", for which another addition would be compiled */

	return likely((u32)id < TMEM_POOLS_PER_GUEST)
		       ? __atomic_load_n(client->pools + number, __ATOMIC_ACQUIRE)
		       : NULL;
}

/* The same for the short ways, which deal with pools only that have nothing special about them: a
 * special one instead of NULL, not to be written to. @id is below TMEM_POOLS_PER_GUEST. */
static inline struct pool *called_pool(const struct tmem_client *client, u64 id)
{
	HIDE_FROM_COMPILER(id); /* it would compute a part of the address for several arrays */
	return __atomic_load_n(client->called + id, __ATOMIC_ACQUIRE);
}

/* Ephemeral pages in terms of frames, which is what shares are about: a page without one counts as
 * much as its records take. No lock. */
static inline u64 client_ephemeral_frames(const struct tmem_client *client)
{
	u64 pages = READ_ONCE(client->stats.ephemeral_pages);
	u64 dense = READ_ONCE(client->dense_pages[EPHEMERAL]);

	if (likely(!dense))
		return pages;
	return pages - MIN(pages, dense) + dense / DENSE_PAGES_PER_FRAME + 1 +
	       READ_ONCE(client->dense_frames[EPHEMERAL]);
}

/* One page more or less, as @change says, in one of the lists from LIST_CHEAP on. Client lock. */
static inline void client_count_aside(struct tmem_client *client, u32 list, u64 change)
{
	u64 *count = &client->aside_pages[list - LIST_CHEAP];

	WRITE_ONCE(*count, *count + change);
}

/* Ephemeral pages that are neither in LIST_CHEAP nor in LIST_FILLED. */
static inline u64 client_ordinary_pages(const struct tmem_client *client)
{
	return client->stats.ephemeral_pages - client->aside_pages[0] - client->aside_pages[1];
}

/* Pages that one step of a flush or a destruction frees. */
#define TMEM_STEP_PAGES 64U
/* Drops up to *@pages pages of an object, keeps the slots and lowers the number; true once it is
 * gone. */
bool client_flush_object(
	struct tmem_client *client, struct pool *pool, u32 object_id, unsigned *pages);

/* ---- Moving pages (tmem/move.c) ----------------------------------------------------- */

/* The record of a stored page moves from @slot to @to, which is in the caller's hands, with
 * @content as its field "client". What the first one's frame holds stays there. Client lock. */
void client_move_record(struct tmem_client *client, u32 slot, u32 to, u32 content);
/* A stored page moves from one frame to another; @slot is in the caller's hands then. Client lock.
 */
void client_move_page(struct tmem_client *client, u32 slot, u32 to);

/* ---- The sample (tmem/sample.c) ------------------------------------------------------ */

/* The host is told that something happened to a page of a private pool, which is in the sample: see
 * pool_samples(). Client lock. */
void client_sampled(struct tmem_client *client, const struct pool *pool,
	const struct tmem_handle *handle, enum tmem_event event);
/* A put by its guest ended with @result; nothing is told unless the page is sampled. Client lock.
 */
void client_sample_put(struct tmem_client *client, const struct tmem_handle *handle, int result);

/* ---- Miss filters (tmem/window.c) --------------------------------------------------- */

/* What a pool with a filter does before page @index of the object with that @sum comes into the
 * index in @slot, and after one whose client_filter_hash() was taken before has left it. Client
 * lock. */
void client_filter_insert(
	struct tmem_client *client, struct pool *pool, u64 sum, u32 index, u32 slot);
u64 client_filter_hash(const struct pool *pool, const struct position *position);
void client_filter_removed(struct tmem_client *client, struct pool *pool, u64 hash, u32 slot);
/* A page in the index has moved from one slot to another. */
void client_filter_moved(struct tmem_client *client, struct pool *pool, u32 from, u32 to);
/* A bounded step of resizing; may evict a page for its memory, and so release the lock meanwhile.
 */
void client_filter_work(struct tmem_client *client);
/* The pool goes, or the client: its filter waits to be collected, or its memory is given back. */
void client_filter_close(struct tmem_client *client, struct pool *pool);
void client_filters_destroy(struct tmem_client *client);

/* ---- Life (tmem/client.c, and of pools tmem/client_pools.c) ---------------------------- */

/* A structure for a new client, not alive yet; NULL if all are in use or memory is short. */
struct tmem_client *client_claim(struct tmem *tmem, u32 weight, bool is_owner);
/* Makes a claimed client alive, with nothing in it; -ENOMEM, and its structure is free again. */
int __must_check client_begin(struct tmem_client *client, const struct tmem_client_config *config);
/* Gives the structure of a client without pools back; its lock is held, and released. */
void client_end(struct tmem_client *client);
/* Whether a guest may make a private pool with these flags. */
bool pool_flags_are_valid(u64 flags);
/* A pool with this id (-1: any) and valid flags, a shared one if @seat is not NULL. The id, or
 * -EBUSY, -ENOSPC, -ENOMEM. Client lock. */
int client_add_pool(
	struct tmem_client *client, int id, u32 flags, const u64 uuid[2], const struct seat *seat);
/* Frees up to *@pages pages of a private pool, and lowers that number; 0 once it is gone, else
 * -EAGAIN. Client lock. */
int client_destroy_pool(struct tmem_client *client, struct pool *pool, unsigned *pages);
/* The pool with this number from now on; NULL: none any more. Client lock. */
void client_set_pool(struct tmem_client *client, u32 id, struct pool *pool);
/* Takes a pool without pages away, and keeps its counts. Client lock. */
void client_forget_pool(struct tmem_client *client, struct pool *pool);
/* All pools of a client that nobody else uses now, a step a call; -EAGAIN while there is more. */
int client_drop_pools(struct tmem_client *client);

/* What tmem_client_stats() tells of a pool is added to @sum. Client lock. */
void client_add_counts(struct pool_counts *sum, const struct pool *pool);

/* ---- What the common paths do not serve ---------------------------------------------- */

/* Instead of an errno: the pool is shared. The caller releases the lock and calls shared_put() or
 * its like. */
#define POOL_IS_SHARED 1

/* The operations of tmem.h for a client whose lock is held; @hidden: in a pool being restored. */
int client_put(struct tmem_client *client, const struct tmem_handle *handle, const void *page,
	bool hidden);
/* The same in an owner's pool; @what gets what it counted for the sharer whose put it is. */
int client_put_shared(struct tmem_client *owner, const struct tmem_handle *handle, const void *page,
	struct pool_counts *what);
/* The same with a slot at hand, where the page may lie already; *@slot is what is left of it. */
int client_put_placed(
	struct tmem_client *client, const struct tmem_handle *handle, const void *page, u32 *slot);
int client_get(struct tmem_client *client, const struct tmem_handle *handle, void *page);
int client_flush_page(struct tmem_client *client, const struct tmem_handle *handle);
int client_flush_object_step(struct tmem_client *client, const struct tmem_handle *handle);

/* What a put does that must fail: the old copy goes, and is counted. Whether there was one. Client
 * lock. */
bool client_drop_old(
	struct tmem_client *client, struct pool *pool, const struct tmem_handle *handle);
/* What stands before a put to a special pool (tmem/control.c): 0 to go on, POOL_IS_SHARED, or the
 * put's error. Client lock. */
int special_put(struct tmem_client *client, struct pool *pool, const struct tmem_handle *handle,
	const void *page, bool hidden);
/* Gives new pools what their client has. Client lock. */
void special_set(struct tmem_client *client, struct pool *pool);

/* Makes a virtual slot come nearer when neither magazine nor arena has one: by a page of @client's
 * own, or by a step towards a block of another that has more than its share (tmem/slots.c). Called
 * and returns with @client's lock held, but may release it meanwhile. */
void slots_seek(struct tmem_client *client);

/* ---- Eviction (tmem/evict.c) -------------------------------------------------------- */

/* Evicts the ephemeral page, of whatever kind, that goes next when a client (its lock is held) has
 * too many. Its frame is nobody's then; SLOT_NONE if it had none of its own, or there is no page.
 */
u32 evict_oldest(struct tmem_client *client);

/*
 * Finds a slot (in @client's hands) for a page of @class when neither magazine nor arena has one:
 * in another client's magazine, by compaction, or by evicting the oldest page of the client that is
 * furthest over its weighted share; bounded work, and nothing is evicted that frees no frame.
 * Called and returns with @client's lock held, but may release it meanwhile: whatever was looked up
 * is stale. SLOT_NONE if the rules leave nothing to evict.
 */
u32 evict_for(struct tmem_client *client, enum tmem_class class);

#endif
