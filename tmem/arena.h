/*
 * The arena: where the store's frames live. Frames come from the port as blocks of 2 MiB, and one
 * by one when a limit or the state of memory allows no more. A frame is named by its slot: block
 * number times 512 plus its place in the block. Ephemeral and persistent pages go to different
 * blocks for as long as there is room, so that giving up ephemeral pages empties whole blocks.
 *
 * The arena lock guards blocks, their bitmaps and lists, and all calls of the port for memory. A
 * slot's entry in the reverse map is written by whoever holds the slot: the arena's lock holder
 * while it is free, else the lock holder of the client that owns it.
 */
#ifndef TMEM_ARENA_H
#define TMEM_ARENA_H

#include "lib/types.h"
#include "tmem/directory.h"
#include "tmem/port.h"
#include "tmem/tmem.h"

enum tmem_class { EPHEMERAL, PERSISTENT, TMEM_CLASSES };

/* Slots: 28 bits, 1 TiB. */
#define SLOT_BITS   28
#define SLOT_NONE   ~0U
#define SLOT_BLOCKS (1U << (SLOT_BITS - BLOCK_ORDER))

/* The reverse map: who has a slot. Client number in the upper 6 bits, page id in the lower 26; page
 * 0: the slot lies in that client's magazine. */
#define OWNER_PAGE_BITS 26
#define OWNER_PAGE_MASK ((1U << OWNER_PAGE_BITS) - 1)
#define OWNER_FREE      OWNER_PAGE_MASK       /* in the block's bitmap of free slots */
#define OWNER_ABSENT    (OWNER_PAGE_MASK - 1) /* the block has no frame there */
#define OWNER_MOVING    (OWNER_PAGE_MASK - 2) /* in the hands of a call under way */
#define TMEM_CLIENTS    64U

static inline u32 owner_of_page(u32 client, u32 page)
{
	return client << OWNER_PAGE_BITS | page;
}

/*
 * 512 slots, with the record in a metadata page of its own. Invariant: for each slot exactly one
 * of: a bit in @free and OWNER_FREE; a bit in @absent and OWNER_ABSENT; neither and another owner.
 * @present is the number of slots not absent, @free_count the number of bits in @free.
 */
struct block {
	u8 *base;                  /* 2 MiB of frames; NULL if they came one by one: */
	void **frames;             /* then their addresses, NULL where absent */
	struct block *next, *prev; /* the list of its class that has room */
	u64 free[BLOCK_PAGES / 64];
	u64 absent[BLOCK_PAGES / 64];
	u32 number;
	u16 free_count, present;
	u8 class;
	bool listed;
	bool claimed; /* reclaim is at work on it: no allocation, no release */
	u32 owners[BLOCK_PAGES];
};
_Static_assert(sizeof(struct block) <= PAGE_SIZE, "a block's record is one page");

struct arena {
	struct tmem_lock lock;
	u64 max_frames;
	u64 frames; /* present slots of all blocks */
	u64 metadata_pages;
	struct directory blocks; /* leaves of 512 pointers to struct block */
	u32 block_numbers;       /* numbers below this one were used at least once */
	u32 unused; /* first free number below, plus 1; chained through the directory */
	struct block *room[TMEM_CLASSES];      /* blocks with free slots */
	struct block *scattered[TMEM_CLASSES]; /* where single frames go now */
	bool dry;         /* the last arena_take() found nothing, and nothing has come back since */
	u32 empty_blocks; /* blocks kept although all their slots are free */
	void *pages;      /* frames that were turned into free metadata pages, chained */
};

struct tmem {
	struct arena arena;
	u64 persistent_pages __aligned_to(64); /* of all clients; atomic */
	u32 ticks;                             /* tmem_tick() calls */
	u32 reclaim_block; /* number of the block that is being emptied, plus 1; under the arena
			      lock */
	/* Set once under the arena lock; the structures stay until the store goes. */
	struct tmem_client *clients[TMEM_CLIENTS];
	u32 client_count; /* numbers below this one were used at least once */
};
_Static_assert(sizeof(struct tmem) <= PAGE_SIZE, "the store's head is one page");

/* A zeroed page for metadata, and back. Takes the arena lock. NULL without memory. */
void *metadata_alloc(struct tmem *tmem);
void metadata_free(struct tmem *tmem, void *page);

void arena_init(struct tmem *tmem, u64 max_frames);
/* All slots must be free or absent. */
void arena_destroy(struct tmem *tmem);

/* Up to @count slots for @client, preferably in blocks of @class, lowest address last; they are
 * marked as lying in the client's magazine. Returns how many. */
unsigned arena_take(
	struct tmem *tmem, enum tmem_class class, u32 client, u32 *slots, unsigned count);
void arena_give(struct tmem *tmem, const u32 *slots, unsigned count);

/* Whether arena_take() can be spared, since it would find nothing. When only the port's memory is
 * at an end, it may have some again at any time: then it is asked again now and then, for which
 * @patience counts. */
static inline bool arena_is_dry(const struct tmem *tmem, u8 *patience)
{
	return READ_ONCE(tmem->arena.dry) &&
	       (READ_ONCE(tmem->arena.frames) >= tmem->arena.max_frames || ++*patience % 32);
}

/* Takes the frame of a slot (OWNER_MOVING) out of the store; arena_turn_into_metadata() makes a
 * page for metadata_alloc() of it instead. */
void *arena_detach(struct tmem *tmem, u32 slot);
void arena_turn_into_metadata(struct tmem *tmem, u32 slot);

static inline struct block *block_at(const struct tmem *tmem, u32 number)
{
	struct block **leaf = directory_leaf(&tmem->arena.blocks, number / DIRECTORY_FANOUT);

	return leaf[number % DIRECTORY_FANOUT];
}

/* The block of a slot that somebody holds. */
static inline struct block *block_of(const struct tmem *tmem, u32 slot)
{
	return block_at(tmem, slot / BLOCK_PAGES);
}

static inline void *block_frame(const struct block *block, u32 slot)
{
	u32 place = slot % BLOCK_PAGES;

	/* A block has one or the other. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	return likely(block->base) ? block->base + place * PAGE_SIZE : block->frames[place];
}

static inline void slot_set_owner(struct block *block, u32 slot, u32 owner)
{
	WRITE_ONCE(block->owners[slot % BLOCK_PAGES], owner);
}

/*
 * For reclaim and the audit, with the arena lock held. arena_block(): the block with this number or
 * NULL. arena_claim() keeps a block from being allocated from and from going away; arena_unclaim()
 * ends that, and gives the block up if it holds no page any more. arena_detach_free() takes a free
 * slot's frame out of the store; NULL if the block has none.
 */
struct block *arena_block(const struct tmem *tmem, u32 number);
void arena_claim(struct tmem *tmem, struct block *block);
void arena_unclaim(struct tmem *tmem, struct block *block);
void *arena_detach_free(struct tmem *tmem, struct block *block);

#endif
