/*
 * The balloon policy engine: one sample a guest in, one target a guest out (docs/balloon.md). Pure
 * logic on floor 1: no globals, no allocation, no floating point; time comes in as the length of a
 * tick, state in memory of the caller's, so the same files compile hosted.
 *
 * Not locked: one CPU at a time calls balloon_tick(), balloon_policy_set() and balloon_forget();
 * struct ghosts (balloon/ghosts.h), which tmem operations write, is each guest's own and has the
 * lock of whoever calls it.
 *
 * Sizes are pages of 4 KiB and counts are those of one tick, unless a comment says otherwise.
 */
#ifndef BALLOON_BALLOON_H
#define BALLOON_BALLOON_H

#include "lib/types.h"

#define BALLOON_GUESTS_MAX 64U
#define BALLOON_UNKNOWN    (~0UL) /* a statistic that nobody gave */
#define BALLOON_POOL       0xffU  /* in a move: the part of the pool that is nobody's share */
/* A curve's points: equal steps from 0 to twice the guest's maximum. */
#define BALLOON_BUCKETS  128U
#define BALLOON_AGES     8U   /* classes of idle memory: age [2^k, 2^(k+1)) ticks, the last open */
#define BALLOON_PRIORITY 100U /* an ordinary guest's */
#define BALLOON_USE_ONE  (1U << 20) /* a chance of 1, in the units of struct balloon_guest */

struct ghosts;

enum balloon_class { BALLOON_EPHEMERAL, BALLOON_PERSISTENT, BALLOON_CLASSES };

/* What is known of one guest about one tick. The first part is counted by the hypervisor; what the
 * guest says of itself may be anything. */
struct balloon_sample {
	u64 actual;    /* RAM it has now */
	u64 untouched; /* of it, what it has not touched since it was given: no frames are there */
	u64 min, max;  /* of its RAM, from the manifest */
	u64 pool;      /* ephemeral pages it has in the pool now */
	struct {
		u64 puts, gets, hits;
	} tmem[BALLOON_CLASSES];
	u64 disk_reads; /* pages its disks delivered, and those written to swap; BALLOON_UNKNOWN */
	u64 refaults;   /* of them, those that it had had before; at most @disk_reads */
	u64 cpu_ns;     /* CPU time */
	/* By accessed bits, if idle_known: RAM by the time since it was last seen used, and what
	 * was used again in this tick by how long it had not been. Scaled up if only a part is
	 * looked at. */
	u64 idle[BALLOON_AGES], touched[BALLOON_AGES];
	bool idle_known;             /* the machine has accessed bits, and they were looked at */
	bool responsive;             /* its balloon driver answers */
	u32 priority;                /* 1..10000, BALLOON_PRIORITY is ordinary; 0 counts as that */
	u32 max_refaults_per_second; /* service goal; 0 = none */
	const struct ghosts
		*ghosts; /* refault distances; NULL without tmem. Borrowed for the call. */
	/* Said by the guest (virtio-balloon statistics); BALLOON_UNKNOWN where it says nothing. */
	u64 free, available, caches;
	u64 major_faults, swap_in, swap_out; /* within the tick */
};

struct balloon_target {
	u64 ram;   /* for the balloon: where its RAM should go */
	u64 share; /* ephemeral pages of the pool that are its own under pressure */
};

enum balloon_reason {
	BALLOON_NO_REASON,
	BALLOON_REFAULTS,  /* the taker avoids more disk reads with it than the giver */
	BALLOON_GOAL,      /* the taker misses its service goal */
	BALLOON_PROBE,     /* a small step down, to see what it would cost */
	BALLOON_PROBE_END, /* it asks for the pages that it gave, or nobody wants the memory */
	BALLOON_EVIDENCE,  /* RAM that others need more, into the giver's own share of the pool */
	BALLOON_COMMITTED, /* selfballoon: what the guest says it has committed */
	BALLOON_ENTITLED,  /* shares: its due after the tax on idle memory */
	BALLOON_LIMITS,    /* its minimum, its maximum, or the sum of all */
	BALLOON_REASONS
};

/* Who gave, who got, how much, why. From a guest to itself: between its RAM and its share. */
struct balloon_move {
	u8 from, to; /* indices of guests, or BALLOON_POOL */
	bool to_ram; /* from a guest to itself: the direction */
	enum balloon_reason reason;
	u64 pages;
	u32 gain, loss; /* disk reads a second and MiB that the two save with it, in hundredths */
};

#define BALLOON_MOVES_MAX (2U * BALLOON_GUESTS_MAX)

struct balloon_plan {
	unsigned count; /* guests */
	struct balloon_target target[BALLOON_GUESTS_MAX];
	u64 pool; /* what remains for the pool when every target is reached */
	unsigned move_count;
	struct balloon_move moves[BALLOON_MOVES_MAX];
	unsigned unresponsive; /* guests that stay at their size because their driver is silent */
};

/* Of the machine or the manifest; balloon_defaults() fills in what works. */
struct balloon_parameters {
	u64 memory;         /* pages of all guests' RAM and the pool together */
	u64 pool_min;       /* of these, never planned away from the pool */
	bool poolless;      /* no pages go to the pool: a share of it saves nothing */
	u32 tick_ms;        /* length of a tick */
	u32 down_permille;  /* RAM taken from a guest a tick with evidence, at most: of its RAM */
	u32 probe_permille; /* and without */
	u32 up_permille;    /* RAM given to a guest a tick, at most: of its maximum */
	u32 hold_permille;  /* by how much a taker's need must exceed the holder's */
	u32 tax_permille;   /* shares: the tax on idle memory */
	u32 up_hysteresis;  /* selfballoon: a step is the distance divided by this */
	u32 down_hysteresis;
};

/* A stretch of a curve. */
struct balloon_segment {
	u64 gain;  /* reads a tick avoided, 256ths, weighted */
	u64 pages; /* 0 = none */
};

/* On what terms a guest's wishes are weighed. */
struct balloon_terms {
	u64 hold;  /* pages it holds: up to here its curve counts (1000 + bonus) / 1000 times */
	u32 bonus; /* permille */
	u32 price; /* what a page beyond must save at least, 65536ths of a read a tick */
};

/* Where a policy would have one guest go, and why. */
struct balloon_wish {
	struct balloon_target target;
	enum balloon_reason reason;     /* for what the guest gains or loses */
	enum balloon_reason own_reason; /* for what moves between its RAM and its share */
	u32 utility;                    /* reads a tick and MiB at its edge, 256ths: for the log */
};

/* State of one guest between ticks: written by balloon/ only. */
struct balloon_guest {
	struct balloon_target target; /* of the last plan; share 0 before the first */
	bool known;                   /* has been planned before */
	u64 hits_rate, misses_rate;   /* gets a tick, smoothed; 256ths */
	u64 first_rate;               /* of the misses, first reads of files */
	/* refault: gets, those of them that hit or that a disk was read for, and first reads of
	 * files; halved together */
	u64 gets_lately, backed_lately, first_lately;
	u64 refaults_rate;     /* pages read again a tick, smoothed; 256ths */
	u64 pressure;          /* share of the guest's faults that waited for a disk, 1024ths */
	u64 base;              /* refault: its holding as the last plan left it */
	u32 use[BALLOON_AGES]; /* chance of a page of this age to be used in a tick, smoothed;
				  2^-20ths */
	u32 edge;              /* the same for the oldest eighth of RAM; 0 if not known */
	/* refault: busy spells (balloon/spells.h) */
	u32 activity;      /* pages used a tick, smoothed */
	u64 activity_mean; /* over a longer time, 256ths */
	u32 spell;         /* ticks that it has been busy, or idle */
	u32 spell_usual, gap_usual;
	u64 used, used_last; /* pages, in this spell and in the last one */
	bool busy;
	u64 footprint; /* refault: what it used lately, as far as that is known; pages */
	u64 trial;     /* refault: RAM taken by probing that is still the guest's share */
	/* refault: whether its hits are a need (balloon/trust.h) */
	u64 brought[BALLOON_AGES];       /* pages by hits within the last 2^k ticks, 16ths */
	u64 hold_before;                 /* before it was doubted: pages */
	u64 reads_before;                /* and pages read again a tick, 256ths */
	s64 reads_expected, reads_found; /* since then, beyond those; 256ths */
	u16 doubt, trusted;              /* ticks left */
	u16 trust;                       /* for how long it was trusted last */
	u32 curve[BALLOON_BUCKETS +
		  1]; /* reads a tick avoided with so many steps; 256ths, weighted */
	u64 step;     /* pages between two points */
	/* Of one tick only, here because a CPU's stack is small. */
	struct balloon_segment need, next;
	struct balloon_terms terms;
	/* Holding: what cannot be taken this tick, what is planned so far, and what another plan
	 * had that this one is compared with. */
	u64 least, size, size_first;
};

/* The engine's state: the caller's memory, about 70 KiB. */
struct balloon {
	struct balloon_parameters parameters;
	const struct balloon_policy *policy;
	/* refault: reads that plans would have saved since one was carried out; 256ths */
	u64 owed;
	struct balloon_guest guest[BALLOON_GUESTS_MAX];
	struct balloon_sample sample[BALLOON_GUESTS_MAX]; /* of this tick, checked */
	struct balloon_wish wish[BALLOON_GUESTS_MAX];     /* of this tick */
};

/* Fills in @parameters for @memory pages of all guests and the pool and ticks of @tick_ms. */
void balloon_defaults(struct balloon_parameters *parameters, u64 memory, u32 tick_ms);

/* Prepares @balloon: all zero before, or used before. Copies @parameters and brings what is out of
 * range into it; the policy is the default one. */
void balloon_init(struct balloon *balloon, const struct balloon_parameters *parameters);

/* Names of policies, the default first; NULL beyond the last. For the manifest's table of choices.
 */
const char *balloon_policy_name(unsigned index);
/* Switches to the policy called @name from the next tick on. 0, or -EINVAL if there is none. */
int __must_check balloon_policy_set(struct balloon *balloon, const char *name);

/* Guest @index is gone, or another one takes its place: nothing is remembered of it. */
void balloon_forget(struct balloon *balloon, unsigned index);
/* Guest @index of @count is gone, and the last one takes its place. */
void balloon_remove(struct balloon *balloon, unsigned index, unsigned count);
/* From now on there are @memory pages of all guests' RAM and the pool together, @pool_min of which
 * are never planned away from the pool. */
void balloon_set_memory(struct balloon *balloon, u64 memory, u64 pool_min);

/*
 * Plans one tick. @samples of @count guests (at most BALLOON_GUESTS_MAX; more are left out),
 * indexed as in all calls before. Whatever the samples say: targets of responsive guests are within
 * min..max and at most one step (parameters) from where the guest is; a guest that does not answer
 * keeps its size; all targets and shares fit in memory if the guests' sizes and minima do, and come
 * nearer to it by a step if they do not; RAM is promised only once it has come back from whoever
 * gives it. Bounded work: at most 16 * guests *
 * (guests + 2 * BALLOON_BUCKETS) steps.
 */
void balloon_tick(struct balloon *balloon, const struct balloon_sample *samples, unsigned count,
	struct balloon_plan *plan);

/* A few words for a line of the log; never NULL. */
const char *balloon_reason_text(enum balloon_reason reason);

#endif
