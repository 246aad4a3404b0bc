/*
 * See evictions.h. Linux 5.17 took out cleancache, which was the hook for this. The tracepoint
 * stands at the same place, __filemap_remove_folio(), and in the way by which whole batches are
 * truncated.
 */
#include "evictions.h"

#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/page_ref.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#define TRACEPOINT "mm_filemap_delete_from_page_cache"

/* Of larger folios nothing is told: that would take too long with interrupts off. */
#define FOLIO_PAGES_MAX 16

static struct tracepoint *tracepoint;
static frame_leaves tell;

/*
 * Reclaim, and what drops caches, freezes the folio's references at 0 first (__remove_mapping()),
 * and gives up if there is one beside its own, or if the folio is dirty. Truncation, and the
 * invalidation by writes past the page cache, have a reference of their own meanwhile.
 */
static bool is_evicted(struct folio *folio)
{
	return folio_ref_count(folio) == 0 && folio_test_locked(folio) &&
	       folio_test_uptodate(folio) && !folio_test_dirty(folio) &&
	       !folio_test_writeback(folio);
}

static void folio_leaves(void *data, struct folio *folio)
{
	unsigned long pages = folio_nr_pages(folio);
	bool evicted = is_evicted(folio);

	if (pages > FOLIO_PAGES_MAX)
		return;
	for (unsigned long i = 0; i < pages; i++)
		tell(folio_page(folio, i), evicted && !PageHWPoison(folio_page(folio, i)));
}

static void choose(struct tracepoint *candidate, void *data)
{
	if (!strcmp(candidate->name, TRACEPOINT))
		tracepoint = candidate;
}

int __init evictions_watch(frame_leaves leaves)
{
	for_each_kernel_tracepoint(choose, NULL);
	if (!tracepoint)
		return -ENOENT;
	tell = leaves;
	return tracepoint_probe_register(tracepoint, folio_leaves, NULL);
}

void evictions_leave(void)
{
	/* It fails only for what is not registered. */
	WARN_ON(tracepoint_probe_unregister(tracepoint, folio_leaves, NULL));
	tracepoint_synchronize_unregister();
}
