/*
 * Equal pages of different clients: clients of one group (the manifest's dedup_group) share the
 * frames of pages that are equal, ephemeral and persistent ones apart. A page's content is then a
 * record of the group, which counts the pages that have it. Members of a group can tell by timing
 * whether another member has a page.
 *
 * One lock a group, below those of clients and above the arena's: two clients come here at once.
 * A client pays for each of its pages as for a frame, however many share it.
 */
#ifndef TMEM_DEDUP_H
#define TMEM_DEDUP_H

#include "lib/types.h"
#include "tmem/client.h"

/*
 * @slot is a frame in state SLOT_COMMON, whose record says the content's id in its field "owner";
 * and in "client", beside some client that exists or existed, where others have a hash, which may
 * be read without a lock: class and group.
 */
struct common_content {
	u32 slot;
	u32 refs; /* pages; 0 in a free record */
	u32 hash; /* not 0 */
	u32 unused;
};
_Static_assert(sizeof(struct common_content) == 16, "the smallest record of a slab");
#define COMMON_ID_SHIFT    8
#define COMMON_CLASS_SHIFT 7 /* in page.client, above the client's number */
#define COMMON_GROUP_SHIFT 8
_Static_assert(TMEM_CLIENTS == 1U << COMMON_CLASS_SHIFT, "a client's number is below");

/* In a metadata page, which stays until the store goes. Invariant: each content with references
 * stands in the table of its class. */
struct dedup_group {
	struct tmem_lock lock;
	struct tmem *tmem;
	u32 number;
	struct slab contents, lines;
	struct table tables[TMEM_CLASSES];
	u64 frames[TMEM_CLASSES];
	u64 peak; /* of their sum */
	u64 hash_keys[6];
};

/* The record of a content by its id. The group's lock is held. */
static inline struct common_content *common_at(const struct dedup_group *group, u32 id)
{
	return SLAB_AT(struct common_content, COMMON_ID_SHIFT, &group->contents, id);
}

/* The group with this number, 1..TMEM_GROUPS, made if it is not there; NULL without memory. */
struct dedup_group *dedup_get(struct tmem *tmem, u32 number);
/* The store goes; no client is left. */
void dedup_destroy(struct tmem *tmem);
/* Frames of all groups; the sum of what each had at most. No lock. */
u64 dedup_frames(const struct tmem *tmem);
u64 dedup_frames_peak(const struct tmem *tmem);

/* ---- The client's lock is held ---- */

/* The id of the content equal to @copy, with one more reference. @hash is not 0. If there is none
 * and *@slot is a frame, in the caller's hands, which may hold @copy already, that becomes one, and
 * *@slot is 0 then. 0: there is none, or no memory for it. */
u32 dedup_find(
	struct tmem_client *client, enum tmem_class class, const void *copy, u32 hash, u32 *slot);
/* Pages that have it. */
u32 dedup_references(struct dedup_group *group, u32 id);
void dedup_fetch(struct dedup_group *group, u32 id, void *data);
/* One reference less; with the last one its frame goes to the client's magazine. */
void dedup_release(struct tmem_client *client, enum tmem_class class, u32 id);

/* For reclaim: moves the content in @slot to a slot of @client's, whose lock is held, be it alive
 * or not. True: @slot is in the caller's hands. */
bool dedup_vacate(struct tmem_client *client, u32 slot, u32 to);
/* Of which class that content is: a hint without the group's lock. */
static inline enum tmem_class common_class(const struct page *page)
{
	return READ_ONCE(page->client) >> COMMON_CLASS_SHIFT & 1 ? PERSISTENT : EPHEMERAL;
}

/* The audit: all of a group's tables and records; @pages: that have a content of it. 0 or -EINVAL
 * with a complaint. */
int __must_check dedup_audit(const struct dedup_group *group, u64 pages,
	void (*visit)(void *page, void *argument), void *argument);

#endif
