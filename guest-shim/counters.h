/*
 * What the shim counts. All count pages of 4 KiB unless they say otherwise, and none ever
 * decreases.
 */
#ifndef SHIM_COUNTERS_H
#define SHIM_COUNTERS_H

#include "lib/types.h"

#define COUNTERS(X)                                                                                \
	X(cache_hits)          /* file page asked for and in memory */                             \
	X(cache_misses)        /* and not in memory: precache or disk follows */                   \
	X(first_reads)         /* misses of pages never read before: nothing can avoid these */    \
	X(cache_evictions)     /* file pages that left memory */                                   \
	X(precache_puts)       /* of those, stored by precache */                                  \
	X(precache_refused)    /* and not stored */                                                \
	X(precache_hits)       /* misses that precache served: disk reads avoided */               \
	X(precache_misses)     /* misses of pages read before that it did not */                   \
	X(precache_skipped)    /* of those, known from the miss filter: exits avoided */           \
	X(volatile_made)       /* file pages that the hypervisor may discard, each time */         \
	X(volatile_stable)     /* of those, asked for in time */                                   \
	X(volatile_discarded)  /* and found gone */                                                \
	X(volatile_exceptions) /* frames that were gone, by #VE when they were touched again */    \
	X(disk_reads)          /* file pages read from the data disk */                            \
	X(faults)              /* page faults on anonymous memory */                               \
	X(zero_fills)          /* anonymous pages touched for the first time */                    \
	X(anon_evictions)      /* anonymous pages that left memory */                              \
	X(preswap_puts)        /* of those, stored by preswap: swap writes avoided */              \
	X(preswap_refused)     /* and not stored */                                                \
	X(preswap_hits)        /* pages that came back from preswap: swap reads avoided */         \
	X(swap_writes)         /* pages written to the swap disk */                                \
	X(swap_clean)          /* evicted, but the copy on the swap disk was still good */         \
	X(swap_reads)          /* pages read from the swap disk */                                 \
	X(swap_rescues)        /* wanted back while their write was under way */                   \
	X(refaults)            /* pages of both kinds that returned within the working set */      \
	X(disk_waits)          /* times that the guest slept for a disk */                         \
	X(balloon_in)          /* frames given to the hypervisor */                                \
	X(balloon_out)         /* and taken back */                                                \
	X(balloon_blocks)      /* 2 MiB units among those given */                                 \
	X(balloon_moves)       /* pages copied to make room for such a unit */                     \
	X(balloon_reported)    /* frames reported free, in 2 MiB units */                          \
	X(balloon_emergencies) /* times that nothing could leave memory but the balloon */

#define COUNTER_FIELD(name) u64 name;

struct counters {
	COUNTERS(COUNTER_FIELD)
};

extern struct counters counters;

#endif
