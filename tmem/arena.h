/*
 * The arena: where the store's frames live, and the record of every frame. Frames come from the
 * port as blocks of 2 MiB, and one by one when a limit or the state of memory allows no more. A
 * frame is named by its slot: block number times 512 plus its place in the block. Ephemeral and
 * persistent pages go to different blocks for as long as there is room, so that giving up ephemeral
 * pages empties whole blocks.
 *
 * The arena lock guards blocks, their bitmaps and lists, and all calls of the port for memory. The
 * record of a slot is written by whoever holds the slot: the arena's lock holder while it is free,
 * else the lock holder of the client that it belongs to.
 */
#ifndef TMEM_ARENA_H
#define TMEM_ARENA_H

#include "lib/types.h"
#include "tmem/content.h"
#include "tmem/directory.h"
#include "tmem/port.h"
#include "tmem/tmem.h"

enum tmem_class { EPHEMERAL, PERSISTENT, TMEM_CLASSES };

/* Blocks, and slots at hand, are of a class of pages, or have no frames at all: a page whose
 * content is kept elsewhere has a slot only for its record (dense.h). */
#define VIRTUAL      TMEM_CLASSES
#define SLOT_CLASSES (TMEM_CLASSES + 1)

/* Slots: 28 bits, 1 TiB. There is no block 0, so that slot 0 names nothing. */
#define SLOT_BITS   28
#define SLOT_MASK   ((1U << SLOT_BITS) - 1)
#define SLOT_NONE   0U
#define SLOT_BLOCKS (1U << (SLOT_BITS - BLOCK_ORDER))

enum slot_state {
	SLOT_EMPTY,      /* free, in a client's magazine, or in the hands of a call under way */
	SLOT_ABSENT,     /* the block has no frame there */
	SLOT_PERSISTENT, /* a stored page: of a persistent pool, or in one of its client's queues */
	SLOT_QUEUED,
	SLOT_QUEUED_MAIN,
	SLOT_QUEUED_CHEAP,
	SLOT_QUEUED_FILLED,
	SLOT_SHARED, /* the content of several pages (dense.h) */
	SLOT_PACKED, /* a frame of a pack of compressed pages */
	SLOT_COMMON, /* the content of pages of several clients (dedup.h) */
};

/*
 * The record of a slot: the stored page in it, if there is one. Ephemeral pages of a client form a
 * queue from the oldest to the newest.
 */
struct page {
	u32 next;   /* slot of the neighbour in the queue; bits 28..31: number of the pool */
	u32 prev;   /* the same; bits 28..31: enum slot_state */
	u32 owner;  /* in the pool's index: see index.h */
	u32 client; /* bits 0..6: number of the one that has the slot, or had it last; of a virtual
		       page: its content (dense.h) */
};
_Static_assert(sizeof(struct page) == 16, "a page costs 16 bytes");
#define PAGES_PER_LEAF (PAGE_SIZE / sizeof(struct page))

/* The state of a slot, which without its holder's lock may be another one by now. */
static inline enum slot_state page_state(const struct page *page)
{
	return (enum slot_state)(__atomic_load_n(&page->prev, __ATOMIC_ACQUIRE) >> SLOT_BITS);
}

/* Whether the page stands in one of its client's queues, as ephemeral ones do. */
static inline bool page_is_queued(const struct page *page)
{
	enum slot_state state = page_state(page);

	return state >= SLOT_QUEUED && state <= SLOT_QUEUED_FILLED;
}

/* Leaves all queues: the neighbour before is forgotten. By whoever holds the slot. */
static inline void page_set_state(struct page *page, enum slot_state state)
{
	WRITE_ONCE(page->prev, (u32)state << SLOT_BITS);
}

/* Half of them for guests, half for shared pools. */
#define TMEM_CLIENTS 128U

/* The number of the client that has the slot, or had it last. */
static inline u32 page_client(const struct page *page)
{
	return READ_ONCE(page->client) % TMEM_CLIENTS;
}

/*
 * 512 slots. Invariant: for each slot at most one of: a bit in @free, and SLOT_EMPTY; a bit in
 * @absent, and SLOT_ABSENT. A slot with neither belongs to the client in its record. @present is
 * the number of slots not absent, @free_count the number of bits in @free.
 */
struct block {
	u8 *base;                  /* 2 MiB of frames; NULL if they came one by one: */
	void **frames;             /* then their addresses, NULL where absent; NULL if virtual */
	struct block *next, *prev; /* the list of its class that has room */
	/* Of those whose frames came one by one, that of its class with places left for more. */
	struct block *next_open, *prev_open;
	struct page *records[2]; /* of its slots, 256 each */
	u64 free[BLOCK_PAGES / 64];
	u64 absent[BLOCK_PAGES / 64];
	u32 number; /* 0: the record is not in use, */
	u32 unused; /* and this is the number of the next such record */
	u16 free_count, present;
	u8 class;  /* enum tmem_class or VIRTUAL */
	u8 client; /* whose slots these are, if virtual */
	bool listed;
	bool claimed; /* reclaim is at work on it: no allocation, no release */
	bool open;    /* in the list of its class then: */
	u8 open_class;
} __aligned_to(256);
#define BLOCKS_PER_LEAF (PAGE_SIZE / sizeof(struct block))

struct arena {
	struct tmem_lock lock;
	u64 max_frames;
	u64 frames; /* present slots of all blocks */
	u64 metadata_pages;
	struct directory blocks;  /* leaves of struct block, kept until the store goes */
	struct directory records; /* leaves of struct page, two a block */
	u32 block_numbers;        /* numbers below this one were used at least once */
	u32 unused;               /* the first of them that is free again; 0 = none */
	u32 virtual_blocks;
	struct block *room[TMEM_CLASSES];         /* blocks with free slots */
	struct block *virtual_room[TMEM_CLIENTS]; /* virtual ones, by whose they are */
	struct block *scattered[TMEM_CLASSES];    /* blocks with places for single frames */
	bool dry;         /* the last arena_take() found nothing, and nothing has come back since */
	u32 empty_blocks; /* blocks kept although all their slots are free */
	void *pages;      /* frames that were turned into free metadata pages, chained */
};

struct dedup_group;

struct tmem {
	struct arena arena;
	struct content_key content_key;       /* of pages' contents: never seen by a guest */
	u64 persistent_held __aligned_to(64); /* tmem_persistent_held(); atomic */
	bool keys_only;                       /* see struct tmem_config */
	u64 sparse[TMEM_CLIENTS / 64]; /* a bit a client: dense_compact() may win frames; atomic */
	u32 ticks;                     /* tmem_tick() calls */
	u32 emptied_block; /* virtual, claimed until it is handed over: its number plus 1; arena
			      lock */
	u32 reclaim_block; /* number of the block that is being emptied, plus 1; arena lock */
	u32 reclaim_hand;  /* the number that is looked at next for another; arena lock */
	/* Set once under the arena lock; the structures stay until the store goes. */
	struct tmem_client *clients[TMEM_CLIENTS];
	u32 client_count;         /* numbers below this one were used at least once */
	u32 claimed[2];           /* structures in use by guests, and by shared pools */
	struct tmem_lock sharers; /* guards who shares what: see tmem/shared.c */
	struct dedup_group *groups[TMEM_GROUPS]; /* by number - 1; set once (dedup.h) */
};
_Static_assert(sizeof(struct tmem) <= PAGE_SIZE, "the store's head is one page");

/* A zeroed page for metadata, and back. Takes the arena lock. NULL without memory. */
void *metadata_alloc(struct tmem *tmem);
void metadata_free(struct tmem *tmem, void *page);
/* The same for a page that another CPU may be reading without a lock. */
void metadata_retire(struct tmem *tmem, void *page);
/* One page of metadata is the caller's from now on, to be given back to the port. */
void metadata_detach(struct tmem *tmem);

/* An arena without blocks; @max_frames: of pages, 0 = no limit. */
void arena_init(struct tmem *tmem, u64 max_frames);
/* All slots must be free or absent. */
void arena_destroy(struct tmem *tmem);

/* Up to @count slots for @client, preferably in blocks of @class, lowest address last; they are
 * marked as lying in the client's magazine. Returns how many. */
unsigned arena_take(struct tmem *tmem, unsigned class, u32 client, u32 *slots, unsigned count);
void arena_give(struct tmem *tmem, const u32 *slots, unsigned count);

/* At most so many virtual slots a frame of the store: what they cost is bounded with it. */
#define VIRTUAL_PER_FRAME 8U

/* Whether arena_take() of frames can be spared, since it would find nothing. When only the port's
 * memory is at an end, it may have some again at any time: then it is asked again now and then, for
 * which
 * @patience counts. */
static inline bool arena_is_dry(const struct tmem *tmem, u8 *patience)
{
	return READ_ONCE(tmem->arena.dry) &&
	       (READ_ONCE(tmem->arena.frames) >= tmem->arena.max_frames || ++*patience % 32);
}

/*
 * For walks over a client's stored pages, whose lock is held: looks at up to @count slots from
 * *@slot on, in one block. True: *@slot has a page of the client. False: it has moved on. Slots end
 * at arena_end().
 */
bool arena_find_page(struct tmem *tmem, u32 client, u32 *slot, unsigned count);
u32 arena_end(const struct tmem *tmem);

/* A virtual block without pages, claimed by arena_claim(), is @client's from now on. Arena lock. */
void arena_hand_over(struct tmem *tmem, struct block *block, u32 client);

/* Takes the frame of a slot that the caller has in hand out of the store;
 * arena_turn_into_metadata() makes a page for metadata_alloc() of it instead. */
void *arena_detach(struct tmem *tmem, u32 slot);
void arena_turn_into_metadata(struct tmem *tmem, u32 slot);

/*
 * Frames that come from elsewhere and go there (tmem/flip.c). arena_attach() gives @frame a slot in
 * a block of single frames, which is in the caller's hands then; SLOT_NONE at the store's limit or
 * without memory for records. arena_exchange() puts @frame in the place of that of a slot in the
 * caller's hands, which goes back to the port; false if that slot lies in a block that came whole.
 */
u32 arena_attach(struct tmem *tmem, enum tmem_class class, u32 client, void *frame);
bool arena_exchange(struct tmem *tmem, u32 slot, void *frame);

/* Reclaim may change the class of a block of frames at any time. */
static inline bool block_is_virtual(const struct block *block)
{
	return READ_ONCE(block->class) == VIRTUAL;
}

/* The block with this number, which was in use at least once. */
static inline struct block *block_at(const struct tmem *tmem, u32 number)
{
	return (struct block *)directory_leaf(&tmem->arena.blocks, number / BLOCKS_PER_LEAF) +
	       number % BLOCKS_PER_LEAF;
}

/* The block and the record of a slot that somebody holds. */
static inline struct block *block_of(const struct tmem *tmem, u32 slot)
{
	return block_at(tmem, slot / BLOCK_PAGES);
}

/* The record of a slot by its number alone; its block must be there. */
static inline struct page *page_at(const struct tmem *tmem, u32 slot)
{
	return (struct page *)directory_leaf(&tmem->arena.records, slot / PAGES_PER_LEAF) +
	       slot % PAGES_PER_LEAF;
}

/* The same where the block is at hand; @slot may also be its place in it. */
static inline struct page *block_page(const struct block *block, u32 slot)
{
	return block->records[slot / PAGES_PER_LEAF % 2] + slot % PAGES_PER_LEAF;
}

/* The frame of a slot that has one. */
static inline void *block_frame(const struct block *block, u32 slot)
{
	u32 place = slot % BLOCK_PAGES;

	/* A block has one or the other. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	return likely(block->base) ? block->base + place * PAGE_SIZE : block->frames[place];
}

/* The same by its number alone. */
static inline void *frame_at(const struct tmem *tmem, u32 slot)
{
	return block_frame(block_of(tmem, slot), slot);
}

/* The block with this number goes, and its records: whoever keeps where they are forgets it
 * (tmem/client_slots.c). Arena lock. */
void client_forget_block(struct tmem *tmem, u32 number);

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
