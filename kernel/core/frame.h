/*
 * Frames: every 4 KiB page of RAM has a class and a reference count; a buddy allocator hands them out.
 * One lock (LOCK_FRAMES). Does not reclaim: kernel/vm/reclaim.c does, where no lock is held.
 *
 * Invariant: a frame on a free list has class FRAME_FREE, reference count 0 and is in no other place;
 * any other frame has exactly one class, and its count is the number of its users (1 for what is not
 * shared).
 */
#ifndef CORE_FRAME_H
#define CORE_FRAME_H

#include "arch/x86/arch.h"
#include "lib/types.h"

enum frame_class {
	FRAME_ABSENT,     /* no RAM */
	FRAME_FREE,
	FRAME_HYPERVISOR, /* image, tables, stacks, modules not yet released, tmem's metadata */
	FRAME_GUEST,      /* a guest's RAM */
	FRAME_TMEM,       /* pages of the pool, and blocks tmem holds */
	FRAME_DEVICE,     /* RAM disks */
	FRAME_LIMBO,      /* taken from a guest, waiting for quiescence */
	FRAME_CLASSES
};

struct frame {
	u8 class;   /* enum frame_class */
	u8 order;   /* of a free block, at its first frame */
	u16 owner;  /* VM id for FRAME_GUEST, else 0 */
	u32 refs;
	u32 next, prev; /* free list, mfn; ~0 ends it */
};
_Static_assert(sizeof(struct frame) == 16, "the frame table must stay small");

/* Builds the frame table from boot_info(): everything used becomes FRAME_HYPERVISOR with one reference,
 * the rest is free. @reserve_bytes 0 means max(RAM/64, 2 MiB a CPU). -ENOMEM after a message. */
int __must_check frames_init(void);
void frames_set_reserve(u64 bytes);

/*
 * 2^order frames, naturally aligned, not scrubbed, reference count 1 each. FRAME_TMEM is refused when
 * fewer than the reserve would stay free. Returns MFN_NONE if there is none.
 */
mfn_t frame_alloc(enum frame_class class, unsigned order, u16 owner);
/* Gives back 2^order frames that were allocated together or apart; each must have one reference. */
void frame_free(mfn_t first, unsigned order);
/* Changes class and owner of one allocated frame (tmem to guest, guest to limbo). BUG if @from is wrong. */
void frame_change_class(mfn_t frame, enum frame_class from, enum frame_class to, u16 owner);
/* Gives a boot-time range (a module no longer needed) to the allocator. */
void frames_release_range(hpa_t start, u64 bytes);
/* Turns a boot-time range (a module used as a disk) into @class. */
void frames_claim_range(hpa_t start, u64 bytes, enum frame_class class);

/* Zeroed memory for the hypervisor's own objects: 2^order pages, direct map; NULL if there is none. */
void *hypervisor_alloc(unsigned order);
void hypervisor_free(void *pages, unsigned order);
/* The order that holds @bytes. */
unsigned order_of(u64 bytes);

struct frame *frame_of(mfn_t frame); /* NULL where there is no RAM */
u64 frames_total(void);              /* frames of RAM */
u64 frames_end(void);                /* highest mfn of RAM + 1 */
u64 frames_free(void);
u64 frames_reserve(void);
u64 frames_of_class(enum frame_class class);

/* For the audit: walks the free lists and marks; returns the first wrong frame or MFN_NONE. */
mfn_t frames_check_free_lists(u64 *free_found);

#endif
