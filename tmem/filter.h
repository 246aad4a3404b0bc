/*
 * The miss filter of one pool: a blocked counting Bloom filter (F. Putze, P. Sanders, J. Singler,
 * WEA 2007; L. Fan et al., SIGCOMM 1998). A block is one cache line of 512 bits, which the guest
 * reads (abi/filter.h), with 4 bits more for each, which it does not see: together they count
 * (filter_count.h). The bits stand in whole pages, so that the host can show them to the guest
 * read-only.
 *
 * Resizing builds a second part beside the first, a bounded step a call, while both are kept up to
 * date; then the header names the other part. Guarded by the owner's lock, except that guests read
 * header and bits without one at any time.
 *
 * Invariant: a bit of a part is set if and only if its count is not 0; a count that reached
 * FILTER_COUNT_MAX stays; every page of the pool is counted in the part that the header names, and
 * while the other is being filled every page with an id below @cursor is counted there.
 */
#ifndef TMEM_FILTER_H
#define TMEM_FILTER_H

#include <abi/filter.h>

#include "lib/types.h"
#include "tmem/directory.h"

struct tmem;

/* Pages of the pool a block is made for: 8 bits a page. With 4 probes 2.6% of the absent seem
 * present then. */
#define FILTER_BLOCK_PAGES 64U
#define FILTER_BLOCKS_MIN  64U /* one page of bits */
#define FILTER_BLOCKS_MAX  (1U << 20)

/* The window: the header's page, then an area for each part. */
#define FILTER_WINDOW_PAGES (1U << 16)
#define FILTER_AREA(part)   ((part) ? FILTER_WINDOW_PAGES / 2 : 1U)

/* What the owner's walk over its pages answers. */
enum filter_walk_result { FILTER_WALK_NOTHING, FILTER_WALK_PAGE, FILTER_WALK_END };
/*
 * Looks at the page records from id *@cursor on, a bounded number. PAGE: the first of the owner's
 * pages, its hash in *@hash; *@cursor becomes its id + 1. NOTHING: none so far, *@cursor has moved.
 * END: there is none any more.
 */
typedef enum filter_walk_result (*filter_walk)(const void *owner, u32 *cursor, u64 *hash);

enum filter_phase {
	FILTER_STEADY,   /* the other part is empty */
	FILTER_BUILDING, /* the other part is being made */
	FILTER_RETIRING, /* the other part is waiting for filter_take() */
	FILTER_DEAD,     /* all of it is */
};

/* Invariant: pages below @bit_pages and @counter_pages, and not below @taken, are there. */
struct filter_part {
	u32 blocks;                   /* 0: none */
	u32 bit_pages, counter_pages; /* made so far */
	u32 taken;                    /* of @bit_pages, taken out by filter_take() */
	u32 reach;                    /* the most pages of bits it ever had */
	struct directory bits, counters;
};

struct filter {
	struct tmem *tmem;
	filter_walk walk;
	const void *owner;
	struct filter *next_dead; /* the owner's list of dead ones */
	struct tmem_filter_header *header;
	struct filter_part parts[2];
	u64 entries; /* pages counted in the part that the header names; while there is none, in the
		      * first one, which is being filled */
	u64 grow_at, shrink_at; /* at so many entries there is work to do */
	u32 cursor; /* while building: pages with ids below are counted in the other part */
	u8 now;     /* the part that the header names */
	u8 phase;   /* enum filter_phase */
	u8 number;  /* of the pool, for the owner */
};

/* A filter in a metadata page of its own that knows nothing yet; NULL without memory. filter_step()
 * builds it up, for about @entries pages at first. @sample_threshold is for the header. */
COLD struct filter *filter_create(
	struct tmem *tmem, filter_walk walk, const void *owner, u64 entries, u32 sample_threshold);
/* Gives all memory back, whatever its phase. No guest may see any page of it any more. */
COLD void filter_destroy(struct filter *filter);

/* Page @id comes into the index after this call, or left it before. *@due is set if filter_step()
 * has become due, else it stays. */
void filter_add(struct filter *filter, u64 hash, u32 id, bool *due);
void filter_remove(struct filter *filter, u64 hash, u32 id, bool *due);

/* Whether there is work for filter_step(). */
COLD bool filter_is_due(const struct filter *filter);
/* A bounded step of growing or shrinking. 0, or -ENOMEM: it needs a page and got none. */
COLD int __must_check filter_step(struct filter *filter);

/* Nobody is to rely on it any more: its pages wait for filter_take(). */
COLD void filter_close(struct filter *filter);

/*
 * Takes one page out that the guest has no more use for, filled with ones, so that whoever still
 * sees it through an old translation takes everything for present. The page's place in the window
 * in *@index. NULL if there is none now. The caller has the page then, and gives it back to the
 * port.
 */
COLD void *filter_take(struct filter *filter, u32 *index);
/* Whether a dead filter has given all its pages. */
COLD bool filter_is_empty(const struct filter *filter);

/* The page at place @index of the window; NULL if there is none. */
COLD void *filter_page(const struct filter *filter, u32 index);
/* Whether there ever was one. */
COLD bool filter_reached(const struct filter *filter, u32 index);

/* For the audit: every page of memory; whether a page with @hash and @id is found; whether bits and
 * counters agree with each other and with the number of pages. */
COLD void filter_visit(
	const struct filter *filter, void (*visit)(void *page, void *argument), void *argument);
COLD bool filter_finds(const struct filter *filter, u64 hash, u32 id);
COLD bool filter_is_sound(const struct filter *filter);

#endif
