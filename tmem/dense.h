/*
 * Pages that need no frame of their own: filled with one word, equal to another page of the client,
 * or compressed. Such a page has a virtual slot, whose record says in place of the client's number
 * where its content is. What is tried is chosen by the client for its ephemeral and its persistent
 * pools (TMEM_MODE_*). Guarded by the client's lock.
 *
 * Equal pages: the first one is stored like any other, and noted in a table of content hashes; when
 * a second one comes, the frame becomes the content of both. Only pages of one client and of one
 * class are compared, so that nothing can be learned about another guest's pages by timing; unless
 * the client is in a group (dedup.h).
 */
#ifndef TMEM_DENSE_H
#define TMEM_DENSE_H

#include "lib/types.h"
#include "tmem/client.h"
#include "tmem/content.h"
#include "tmem/pack_page.h"

enum content_kind { CONTENT_FILLED, CONTENT_SHARED, CONTENT_PACKED, CONTENT_COMMON };
#define CONTENT_KINDS      4U
#define CONTENT_KIND_SHIFT 30
_Static_assert(ARRAY_SIZE(((struct pool *)0)->dense_pages) == CONTENT_KINDS, "a count a kind");
#define CONTENT_ID_MASK ((1U << CONTENT_KIND_SHIFT) - 1)
/* A page full of zeros: filled, and no record of with what. */
#define CONTENT_ZEROS 0U

static inline u32 content_make(enum content_kind kind, u32 id)
{
	return (u32)kind << CONTENT_KIND_SHIFT | id;
}

/* What a virtual page's content is, by its highest bits. */
static inline enum content_kind content_kind(u32 content)
{
	return (enum content_kind)(content >> CONTENT_KIND_SHIFT);
}

/* The content of several pages. */
struct shared_content {
	u32 slot;
	u32 refs; /* pages whose content it is; 0 in a free record */
};
_Static_assert(sizeof(struct shared_content) == 8, "a content costs 8 bytes beside its frame");
#define SHARED_ID_SHIFT 9

struct filled_content {
	u64 word;
};
#define FILLED_ID_SHIFT 9

/* The records of contents by their ids. */
static inline struct shared_content *shared_at(const struct slab *shared, u32 id)
{
	return SLAB_AT(struct shared_content, SHARED_ID_SHIFT, shared, id);
}

static inline struct filled_content *filled_at(const struct slab *filled, u32 id)
{
	return SLAB_AT(struct filled_content, FILLED_ID_SHIFT, filled, id);
}

/* One a client that has any mode on, in a metadata page. Invariant: a frame of the client in state
 * SLOT_SHARED, and a stored page in a frame whose record has a hash, stands in the table of its
 * class; nothing else does. */
struct dense {
	struct tmem_client *client;
	struct slab filled, shared, lines;
	struct table contents[TMEM_CLASSES];
	struct pack pack;
	u64 pages[TMEM_CLASSES];         /* virtual ones, without: */
	u64 common[TMEM_CLASSES];        /* those with a content of the client's group */
	u64 shared_frames[TMEM_CLASSES]; /* SLOT_SHARED */
	u64 shared_pages;                /* with a content of the client's or of its group */
	struct admission admission[TMEM_CLASSES]; /* to the compressor */
	/* The frame of the last page that was found equal; how many in a row before it lay beside
	 * the next; and what is expected to come in that row, in the same block, or 0. While it is
	 * not, the former is a frame of the client in state SLOT_SHARED, so that the block is
	 * there. */
	u32 equal_slot, equal_row, equal_next;
	u64 futile;    /* compaction gained nothing: not again before so many granules are free */
	bool sparse;   /* as it stands in tmem->sparse */
	bool vacating; /* a frame is being emptied: nothing may move into it */
};
_Static_assert(sizeof(struct dense) <= PAGE_SIZE, "a page of metadata");

/* 0, or -ENOMEM. The client's modes are set and not 0. */
int __must_check dense_create(struct tmem_client *client);
/* No page may be left. */
void dense_destroy(struct tmem_client *client);

/* The hash of a frame's content in the upper bits of page.client, 0 = not noted. */
#define HASH_SHIFT 7
_Static_assert(1U << HASH_SHIFT == TMEM_CLIENTS, "a client's number is below the hash");
static inline u32 page_hash(const struct page *page)
{
	return page->client >> HASH_SHIFT;
}

enum dense_outcome {
	DENSE_PLACED,
	DENSE_NEEDS_OWN,   /* a frame of its own */
	DENSE_NEEDS_FRAME, /* a frame in hand, which pages to come share with it */
};

/* A content for a page that is to be stored in @pool, which has TMEM_MODE_FILLED, if it is one word
 * throughout; @page may be the guest's. Then *@content must be given to a page or released. */
bool dense_place_filled(
	struct tmem_client *client, struct pool *pool, const void *page, u32 *content);

/* A page that is to be stored: all but @data and @copy is 0 at first. */
struct dense_look {
	const void *data; /* the guest's, which may be changing */
	void *copy;       /* where the hypervisor's own goes: it is what is looked at */
	u32 content;      /* if it was placed: to be given to a page or released */
	u32 hash;         /* if it needs a frame of its own: for dense_note() */
	u32 fragment;     /* bytes in this CPU's scratch page, 0: not to be compressed */
	bool looked;      /* what can be known without a frame is known */
	bool copied;      /* and it was copied for that */
};

/*
 * Copies a page that is to be stored in @pool, and is not filled, and finds a content for it; a
 * content that is expected, and is equal indeed, is found without a copy.
 * *@spare is a frame in the caller's hands or 0, and 0 if it was taken; look->copy may be that
 * frame. After DENSE_NEEDS_FRAME the caller gets one and calls again with the same @look, unless
 * the lock was released. Evicts nothing and releases no lock.
 */
enum dense_outcome dense_place(
	struct tmem_client *client, struct pool *pool, struct dense_look *look, u32 *spare);

/* The page in @slot, a frame, was stored with this hash: later equal ones share it. No page with
 * its content is noted yet, so that no chain in the table can be made longer by equal pages. */
void dense_note(struct tmem_client *client, const struct pool *pool, u32 slot, u32 hash);
/* It is about to go, or its content is about to change. */
void dense_forget(struct tmem_client *client, enum tmem_class class, u32 slot, struct page *page);

/* Writes the content of a virtual page to @data. -EINVAL with a complaint if the store is broken.
 */
int __must_check dense_fetch(struct tmem_client *client, u32 content, void *data);

/* How many pages have this content: 1 if it is compressed, 0 if it needs no frame at all. */
u32 dense_references(const struct tmem_client *client, u32 content);

/* The page in @slot, a virtual one, has this content from now on. */
void dense_own(struct tmem_client *client, u32 content, u32 slot);
/* A page of the pool has it no more. Frames that it alone needed go to the client's
 * magazine or to the arena. */
void dense_release(struct tmem_client *client, struct pool *pool, u32 content);
/* Brings client->dense_pages, dense_frames, common_pages and persistent_excess up to date. */
void dense_account(struct tmem_client *client);
/* The same once a page of the pool has come to have this content (@sign 1), or has it no more (-1):
 * counts it. */
void dense_count(struct tmem_client *client, struct pool *pool, u32 content, int sign);

/* Makes the packs of a client, for which its bit stands in tmem->sparse, smaller by a bounded step,
 * which may give frames to the arena. False if nothing was gained. */
bool dense_compact(struct tmem_client *client);

/* Of which class the pages are whose content the frame in @slot (SLOT_SHARED or SLOT_PACKED) holds.
 */
enum tmem_class dense_class(const struct tmem_client *client, u32 slot);
/*
 * For reclaim: empties such a frame. Its content moves to *@to, a slot in the caller's hands, which
 * is 0 then; without one, compressed pages in it are dropped by @evict, and shared content cannot
 * go. True: @slot is in the caller's hands.
 */
bool dense_vacate(struct tmem_client *client, u32 slot, u32 *to,
	void (*evict)(struct tmem_client *client, u32 slot));

/* The audit's part (tmem/dense_audit.c): whether the page in @slot may have this content; all
 * contents against the number of pages found with each kind. 0 or -EINVAL with a complaint. */
bool dense_content_is_valid(const struct tmem_client *client, u32 slot, u32 content);
int __must_check dense_audit(const struct tmem_client *client, const u64 pages[CONTENT_KINDS],
	void (*visit)(void *page, void *argument), void *argument);

#endif
