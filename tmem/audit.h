/*
 * What the parts of the audit share (audit.c has the order, clients and the final comparison;
 * arena_audit.c blocks and their slots, pool_audit.c pools and their index). Each part fails what
 * is wrong, and adds up what audit.c compares. The world is stopped, so no lock is taken.
 */
#ifndef TMEM_AUDIT_H
#define TMEM_AUDIT_H

#include "tmem/dense.h"

struct audit {
	const struct tmem *tmem;
	void (*visit)(void *page, void *argument);
	void *argument;
	u64 metadata_pages;
	u64 frames;
	u64 slots_used; /* with a page in them */
	u64 slots_idle; /* neither free nor used: those must lie in magazines */
	u64 in_magazines;
	u64 slots_dense; /* with the contents of pages that have none of their own */
	u64 dense_frames;
	u64 contents[CONTENT_KINDS]; /* of the client being looked at: virtual pages by kind */
	u64 common[TMEM_GROUPS];     /* pages with a content of each group */
	bool bad;
};

#define FAIL(audit, ...)                                                                           \
	do {                                                                                       \
		tmem_port_complain("tmem audit: " __VA_ARGS__);                                    \
		(audit)->bad = true;                                                               \
	} while (0)

/* A page of metadata, of which @argument is the audit. */
void audit_visit_metadata(void *page, void *argument);

/* All blocks, their slots, and what the arena itself holds. */
void audit_blocks(struct audit *audit);

/* A pool, and all that stands in its index; *@pages grows by its pages. */
void audit_pool(struct audit *audit, struct pool *pool, u64 *pages);

#endif
