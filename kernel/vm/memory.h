/*
 * Guest-physical memory: the gfn table (which host frame stands behind each guest frame, its state
 * and pins) and the nested page tables that the processor walks. One data structure, one lock a VM
 * (LOCK_MEMORY). A service may use a host pointer into guest memory until the end of the exit that
 * asked for it, never longer; asynchronous I/O pins.
 */
#ifndef VM_MEMORY_H
#define VM_MEMORY_H

#include "kernel/core/lock.h"
#include "kernel/vm/vcpu.h"
#include "lib/types.h"

/*
 * What stands behind a guest frame. UNPOPULATED: RAM that gets a frame when it is touched.
 * REPORTED: the same, and the guest has said that it is free. BALLOONED: given up by the guest's
 * balloon driver until it takes it back; touched before, it is the guest's error. MOVING: its
 * content is on its way to another frame (memory_collapse.c) or its frame to another owner
 * (memory_flip.c); it keeps the old one until then, mapped nowhere. DISCARDING: the same for a
 * volatile page that may go (memory_discard.c). DISCARDED: it is gone, and the guest has not said
 * that it knows (memory_volatile.c).
 */
enum gfn_state {
	GFN_UNPOPULATED,
	GFN_RAM,
	GFN_MMIO,
	GFN_BALLOONED,
	GFN_REPORTED,
	GFN_MOVING,
	GFN_DISCARDING,
	GFN_DISCARDED
};

/*
 * An entry of the gfn table. Bits 3:0 state, 51:12 host frame (BALLOONED: the life of the balloon
 * that took it, struct memory), 63:52 pin count. Invariant: the state is GFN_RAM exactly where the
 * nested tables hold a present leaf, and both name the same frame. Changed under LOCK_MEMORY,
 * except that pins move by compare-and-swap; read by anybody.
 */
#define GFN_STATE     0xfUL
#define GFN_HPA       0x000ffffffffff000UL
#define GFN_PIN_SHIFT 52
#define GFN_PIN_ONE   BIT(GFN_PIN_SHIFT)
#define GFN_PINS_MAX  4095U

/* The bit layouts of EPT and NPT entries: two constants, chosen at boot. */
struct nested_layout {
	const char *name;
	u64 table;    /* a next-level table */
	u64 leaf;     /* read, write, execute; memory type write-back; at level 1 */
	u64 shared;   /* the same for reading alone: a page of a window */
	u64 large;    /* added to a leaf at level 2 or 3 */
	u64 empty;    /* an absent entry (EPT: suppress #VE) */
	u64 gone;     /* one of a discarded page; not .empty: its touch may raise #VE */
	u64 present;  /* any of these bits: the entry is present */
	u64 accessed; /* 0 where the processor keeps none */
	u64 dirty;
	bool huge; /* 1 GiB leaves allowed */
};

/* A 1 GiB page being scrubbed, 2 MiB a fault, before it is mapped (kernel/vm/memory_huge.c). */
struct huge_page {
	bool active;
	u64 base; /* first gfn */
	mfn_t frame;
	u32 next; /* blocks given to some CPU for scrubbing */
	u32 done; /* blocks scrubbed */
};

/* Places of windows where ones stand in for a page that is gone. */
#define WINDOW_ONES 8U

/* 512 small pages on their way into one block: unmapped, and copied when no CPU can reach them any
 * more (kernel/vm/memory_collapse.c). */
struct collapse {
	bool active;
	u64 base;    /* first gfn */
	mfn_t block; /* where they go */
	u64 table;   /* the entry that led to their level-1 table */
	u64 epoch;   /* to be passed before the copy */
	u64 next;    /* where the search for more goes on */
};

/*
 * Page flip (kernel/vm/memory_flip.c): ranges in which frames may be exchanged; the exchange that
 * each vCPU has begun, whose page is GFN_MOVING and mapped nowhere; and frames that were this
 * guest's own, never another's since, for the next exchange.
 */
#define FLIP_RANGES 8U
#define FLIP_SPARES 32U
struct flip_range {
	u64 first, end; /* gfns */
	u64 split;      /* what is below was split */
};
struct flip_pending {
	bool active;
	bool in_vain; /* called off: the next try copies */
	u64 gfn;
	u64 epoch; /* to be passed before the frame changes hands */
};
struct flip {
	u32 range_count, spare_count, pending_count;
	bool used; /* since the last tick */
	struct flip_range ranges[FLIP_RANGES];
	struct flip_pending pending[VCPUS_MAX];
	u32 spares[FLIP_SPARES]; /* mfns */
	u64 puts, gets, copies;  /* for the summary; copies: exchanges begun that ended so */
};

struct idle_memory; /* kernel/vm/memory_idle.c */
/* Pages of which the guest keeps a state byte (abi/volatile.h). */
struct volatile_area {
	bool active;
	u64 first, pages; /* gfns */
	gpa_t states;
	u64 magic;
	u64 hand; /* which page of the range is looked at next */
};

#define DISCARD_PAGES 64U

/* Volatile pages that may go, unmapped until no CPU can reach them any more; those that are touched
 * meanwhile come back (kernel/vm/memory_discard.c). */
struct discards {
	u64 epoch;
	u32 count;  /* 0: none under way */
	u32 left;   /* of them, those that did not come back */
	bool flush; /* accessed bits were cleared in the search for them */
	u64 frames[DISCARD_PAGES];
};

struct memory {
	struct spinlock lock;
	const struct nested_layout *layout;
	hpa_t root;          /* level-4 table */
	u64 generation;      /* bumped when an entry was removed or weakened; starts at 1 */
	u64 *gfns;           /* the gfn table */
	u64 gfn_count;       /* entries: highest RAM gfn + 1, the hole included */
	u64 ram_pages;       /* the guest's RAM */
	u64 populated_pages; /* with those of a 1 GiB page under way */
	u64 ballooned_pages; /* in this life of the balloon */
	u64 reported_pages;
	/* What the guest is to have (kernel/vm/claim.c): how much RAM its balloon should leave it,
	 * ~0 if it was never asked; whether its driver does so; since when it holds more than it
	 * has a claim to, TSC or 0; frames that it got in advance of those it is to give. */
	u64 asked_pages;
	u64 keeps_since;
	u32 advance; /* added to atomically, lowered under LOCK_MEMORY */
	bool answers;
	/* A reset of the balloon device begins a new life, and what was ballooned in an earlier one
	 * counts as unpopulated: the driver that knew of it is gone. */
	u64 balloon_life;
	u64 table_pages;   /* nested table frames */
	u64 large_pages;   /* 2 MiB leaves */
	u64 huge_pages;    /* 1 GiB leaves */
	u64 window;        /* first gfn of the windows (kernel/vm/window.h); 0: no room for them */
	u64 shared_pages;  /* leaves in windows */
	u64 window_tables; /* of table_pages, those that windows needed */
	void *ones;        /* a page of ones, where windows are open */
	u64 ones_at[WINDOW_ONES];
	u16 owner; /* VM id */
	u8 ones_next;
	bool windows_open; /* never closed again */
	struct huge_page huge;
	struct collapse collapse;
	struct flip flip;
	u64 splits;               /* larger pages that were split, for the summary */
	u64 collapsed;            /* 2 MiB pages put together, for the summary */
	struct idle_memory *idle; /* NULL where the processor keeps no accessed bits */
	struct volatile_area volatiles;
	struct discards discards;
	u64 discarded_pages; /* that the guest has not taken note of */
	/* For the summary: pages that were discarded; those that were touched in time, or made
	 * stable; faults raised. */
	u64 discarded, rescued, discard_faults;
	/* Waiting (memory_wait.c): a frame was wanted, and none was there. TSC, 0: it has what it
	 * wants: since when it gets too little; how many pages it had then; and when it last tried
	 * in vain. */
	bool is_short;
	u64 short_since, short_pages, short_last;
	u64 waits; /* how often a vCPU was blocked for it; for the summary */
};

struct vm;

/* Access bits of a nested fault. */
#define ACCESS_READ  BIT(0)
#define ACCESS_WRITE BIT(1)
#define ACCESS_EXEC  BIT(2)

/* Lays out @bytes of RAM (a multiple of 4 KiB) from 0, around the device hole. Nothing is
 * populated. Returns 0 or -ENOMEM. */
int __must_check memory_create(struct vm *vm, u64 bytes, const struct nested_layout *layout);
/* Gives everything back but the layout's name. No vCPU of the VM may run any more and nothing may
 * be pinned; frames go through limbo. */
void memory_destroy(struct vm *vm);

/*
 * A nested fault at @address. Populates RAM with the largest page that fits. DONE: enter again
 * (another vCPU may have been faster; of a 1 GiB page only a part may be scrubbed yet, and the
 * guest faults again); MMIO: in the device hole; BAD: beyond RAM or in the balloon; WAIT: no frame
 * is to be had, the vCPU was blocked by memory_wait(). Takes LOCK_MEMORY; may reclaim: no lock may
 * be held.
 */
enum outcome memory_fault(struct vcpu *vcpu, gpa_t address, u32 access);

/* Host pointer to one guest frame, populated if need be, valid until the end of this exit. NULL if
 * the gfn is not RAM of this guest, or no frame is to be had. Takes LOCK_MEMORY on the slow path
 * only, and may reclaim there: no lock but LOCK_VM may be held. */
void *memory_page(struct vm *vm, gfn_t frame);
/* The same, but NULL also where @frame has nothing mapped at this moment. Any lock may be held. */
void *memory_page_now(const struct vm *vm, gfn_t frame);
/* Copies between guest-physical memory and the hypervisor; may cross frames. 0, -EFAULT, or -ENOMEM
 * if no frame is to be had, with nothing but a prefix copied. */
int __must_check memory_read(struct vm *vm, gpa_t from, void *to, u64 bytes);
int __must_check memory_write(struct vm *vm, gpa_t to, const void *from, u64 bytes);

/* Whether memory_page() and the like refuse @frame because it is discarded (abi/volatile.h). */
bool memory_is_discarded(const struct vm *vm, gfn_t frame);

/* Pins a guest frame for asynchronous I/O from submit to completion; 0 and the host frame, -EFAULT
 * if it is not RAM, -ENOMEM if no frame is to be had, -EBUSY if the pin count is full. */
int __must_check memory_pin(struct vm *vm, gfn_t frame, mfn_t *host);
void memory_unpin(struct vm *vm, gfn_t frame);

/*
 * Takes one populated frame away from the guest: clears the nested entry (splitting a large page),
 * bumps the generation and puts the frame into limbo. -EBUSY if pinned, -EFAULT if not populated
 * RAM, -ENOMEM if there is no frame for the table of a split. For the tests of quiescence.
 */
int __must_check memory_remove(struct vm *vm, gfn_t frame);

/*
 * The balloon (kernel/vm/memory_balloon.c): 2^@order guest frames from @first on, @order 0 or
 * BLOCK_ORDER and @first aligned to it. All of them or, with an error, none. They take LOCK_MEMORY.
 *
 * Inflate and report take the frames away as memory_remove() does, a whole 2 MiB page or table in
 * one piece, and need not be populated. -EFAULT: not all are RAM; -EINVAL: one is in the balloon
 * already; -EBUSY: one is pinned; -ENOMEM: no frame for the table of a split.
 * Deflate: -EFAULT, or -EINVAL if one is not in the balloon.
 */
int __must_check memory_inflate(struct vm *vm, gfn_t first, unsigned order);
int __must_check memory_report(struct vm *vm, gfn_t first, unsigned order);
int __must_check memory_deflate(struct vm *vm, gfn_t first, unsigned order);
/* The balloon device was reset: all that was ballooned is unpopulated from now on. */
void memory_balloon_forget(struct vm *vm);

/*
 * Puts 2 MiB pages back together, one at a time and by copying, where all 512 small ones are
 * populated: a bounded step each call. The boot CPU, no lock held. (kernel/vm/memory_collapse.c)
 */
void memory_collapse_tick(struct vm *vm);

/* The entry of a guest frame that is in the balloon now. */
static inline u64 memory_ballooned_entry(const struct memory *memory)
{
	return GFN_BALLOONED | memory->balloon_life << PAGE_SHIFT;
}
/* Whether @entry is that of RAM without a frame, which a touch populates. */
static inline bool memory_is_open(const struct memory *memory, u64 entry)
{
	switch (entry & GFN_STATE) {
	case GFN_UNPOPULATED:
	case GFN_REPORTED:
		return true;
	case GFN_BALLOONED:
		return entry != memory_ballooned_entry(memory);
	default:
		return false;
	}
}

/*
 * Whether a guest with @ram_pages of RAM can be promised @pages of it: all promises, the persistent
 * pages of tmem, what the hypervisor and RAM disks hold and the reserve must fit in RAM
 * (kernel/vm/commit.c). 0, or -ENOMEM after a message that names the figures and @name.
 */
int __must_check memory_commit(const char *name, u64 pages, u64 ram_pages);
void memory_uncommit(u64 pages, u64 ram_pages);
u64 memory_committed(void);
/* Pages that nobody was promised: guests may have them above their entitlement. */
u64 memory_lendable(void);

/*
 * What a guest has a claim to (kernel/vm/claim.c). The balloon says in each tick of the policies,
 * and when that changes, that @vm is to have @pages of RAM, and whether its driver answers: does
 * what it is asked, at the least rate. The boot CPU; takes LOCK_MEMORY.
 */
void memory_ask(struct vm *vm, u64 pages, bool answers);
/* Whether the guest holds less than it is entitled to. */
bool memory_is_entitled(const struct vm *vm);
/* Whether it holds less than it has a claim to: its entitlement, or more that its balloon leaves it
 * while the driver answers. */
bool memory_is_due(const struct vm *vm);
/* Whether it holds all that its balloon should leave it, and its driver does not answer: a frame
 * more is only for it if nobody else has a use for it. Not so guests with volatile pages, which
 * give of them. */
bool memory_is_over(const struct vm *vm);
/* By how many pages it exceeds its claim. */
u64 memory_keeps(const struct vm *vm);
/* Whether it may have a frame of the reserve in advance of those it is to give; that it got one;
 * and that it gave @pages, LOCK_MEMORY held. */
bool memory_has_advance(const struct vm *vm);
void memory_advance(struct vm *vm);
void memory_gave(struct memory *memory, u64 pages);

/*
 * Waiting for a frame (kernel/vm/memory_wait.c). A guest may have more RAM than is free; touching
 * it then, the vCPU waits. Frames come from the reserve, from ephemeral pages, and from what other
 * guests give back.
 */

/* @vcpu, the current one, needs a frame and there is none: it blocks until it may try again. The
 * caller lets it run its instruction again. */
void memory_wait(struct vcpu *vcpu);
/* Lets those try again for whom there are frames, what discards come to included. The head of the
 * dispatch loop; no lock is held. */
void memory_wake_waiters(void);
/* Some guest waits while frames are on their way, through limbo or as volatile pages that may go:
 * the CPU must not sleep. */
bool memory_wait_is_over_soon(void);
/* Ten times a second on one CPU: all may try again. If nothing came to a guest for the time set by
 * memory_set_wait() one is stopped and named: if that guest has a claim, the one that keeps most
 * beyond its own; else the one that waits longest. The others get the same time again. */
void memory_wait_tick(void);
void memory_set_wait(u64 us);
/* Whether @frame is RAM that a touch finds or populates: what was NULL or -ENOMEM a moment ago
 * lacked a frame then, and is no error of the guest, even if another vCPU has populated it since.
 */
bool memory_lacks_frame(const struct vm *vm, gfn_t frame);
/* Whether a frame was wanted for the guest and not found, and that still holds. */
bool memory_is_short(const struct vm *vm);
/* No frame came for @vm, or one did. Any CPU. */
void memory_wants(struct vm *vm);
void memory_got(struct vm *vm);

/* Frames whose epoch has passed become free, a bounded number a call. Called at the head of the
 * dispatch loop. */
void limbo_drain(void);
u64 limbo_frames(void);

/*
 * 2^order frames for a guest: from the allocator, and single ones also from ephemeral tmem pages.
 * No lock but LOCK_VM may be held. Not scrubbed. MFN_NONE if there is none; then a caller who wants
 * a large page asks for order 0. (kernel/vm/reclaim.c)
 */
mfn_t guest_frame_alloc(struct vm *vm, unsigned order);
/* 2^order frames for the pool: what is free above the reserve, as long as guests and pool have no
 * more than they may together. MFN_NONE: none now; it may get some of volatile pages in the next
 * ticks. LOCK_TMEM_ARENA may be held. */
mfn_t pool_frame_alloc(unsigned order);
/* Whether a frame more is to be had for the pool, without anybody giving it up. */
bool pool_has_room(void);
/* Once a tick of the policies: what guests and pool have too much is taken from the pool, and what
 * the pool asked for in vain from volatile pages; bounded. The boot CPU, no lock is held. */
void pool_tick(void);
/* What guests and the pool may have together, in pages; ~0, the default: all there is. Policies
 * keep guests to it, but for those with volatile pages, which are discarded. Before guests start.
 */
void memory_set_together(u64 pages);
/* Whether @vm may have @pages more without anybody giving them up. */
bool guest_has_room(const struct vm *vm, u64 pages);
/* Whether there is a frame for @vm, or for the pool if that is NULL, once @coming more are free. */
bool memory_frames_suffice(const struct vm *vm, u64 coming);
/* Whether a single frame is to be had for @vm, without taking one from anybody. */
bool guest_may_have_frame(const struct vm *vm);
/* The same without one in advance (memory_has_advance()). */
bool guest_has_its_share(const struct vm *vm);
/* How many frames stay free when @vm can have no more from the reserve, but in advance. */
u64 guest_frame_floor(const struct vm *vm);

#endif
