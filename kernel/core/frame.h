/*
 * Frames: every 4 KiB page of RAM has a class and a reference count; a buddy allocator hands them
 * out. One lock (LOCK_FRAMES). Does not reclaim: kernel/vm/reclaim.c does, where no lock is held.
 *
 * Invariant: a frame on a free list has class FRAME_FREE, reference count 0 and is in no other
 * place; any other frame has exactly one class, and its count is the number of its users (1 for
 * what is not shared, and one more for each pin of a guest's frame).
 */
#ifndef CORE_FRAME_H
#define CORE_FRAME_H

#include "arch/x86/arch.h"
#include "lib/types.h"

enum frame_class {
	FRAME_ABSENT, /* no RAM */
	FRAME_FREE,
	FRAME_HYPERVISOR, /* image, tables, stacks, modules not yet released; owner: whose nested
			     table */
	FRAME_GUEST,      /* a guest's RAM */
	FRAME_TMEM,       /* pages of the pool, blocks tmem holds, tmem's metadata */
	FRAME_DEVICE,     /* RAM disks */
	FRAME_LIMBO,      /* taken from a guest, waiting for quiescence */
	FRAME_CLASSES
};

#define FRAME_MAX_ORDER 18 /* 1 GiB */
#define FRAME_NONE      (~0U)

struct frame {
	u8 class;  /* enum frame_class */
	u8 order;  /* of a free block or limbo entry, at its first frame; else FRAME_NO_ORDER */
	u16 owner; /* VM id for FRAME_GUEST and for a VM's tables, else 0 */
	u32 refs;
	u32 next, prev; /* free list, mfn; FRAME_NONE ends it. Limbo: next entry, epoch. Else
			 * scratch of the audit. */
};
_Static_assert(sizeof(struct frame) == 16, "the frame table must stay small");

#define FRAME_NO_ORDER 0xff

/* Builds the frame table from boot_info(): everything used becomes FRAME_HYPERVISOR with one
 * reference, the rest is free. Seals the early allocator. -ENOMEM after a message. */
int __must_check frames_init(void);
/* The reserve in bytes; 0, the default, means max(RAM/64, 2 MiB a CPU). */
void frames_set_reserve(u64 bytes);
/* Applies the rule again: the number of CPUs changed. */
void frames_update_reserve(void);

/*
 * 2^order frames, naturally aligned, not scrubbed, reference count 1 each. FRAME_TMEM is refused
 * when fewer than the reserve would stay free. Returns MFN_NONE if there is none.
 */
mfn_t frame_alloc(enum frame_class class, unsigned order, u16 owner);
/* Gives back 2^order frames that were allocated together or apart, naturally aligned; each must
 * have one reference. */
void frame_free(mfn_t first, unsigned order);
/* Changes class and owner of one allocated frame (tmem to guest, guest to limbo). BUG if @from is
 * wrong. */
void frame_change_class(mfn_t frame, enum frame_class from, enum frame_class to, u16 owner);
/* The same for @pages frames in a row. */
void frames_change_class(
	mfn_t first, u64 pages, enum frame_class from, enum frame_class to, u16 owner);
/* One more, one fewer user of an allocated frame. The last user does not put it, but frees it. */
void frame_get(mfn_t frame);
void frame_put(mfn_t frame);

/* Gives a boot-time range (a module no longer needed) to the allocator: every frame it touches. */
void frames_release_range(hpa_t start, u64 bytes);
/* Turns a boot-time range (a module used as a disk) into @class. */
void frames_claim_range(hpa_t start, u64 bytes, enum frame_class class);

/* Zeroed memory for the hypervisor's own objects: 2^order pages, direct map; NULL if there is none.
 */
void *hypervisor_alloc(unsigned order);
void hypervisor_free(void *pages, unsigned order);
/* The same for @pages pages in a row, without rounding up to a power of two: for large tables. */
void *hypervisor_alloc_pages(u64 pages, u16 owner);
void hypervisor_free_pages(void *table, u64 pages);
/* The order that holds @bytes. */
unsigned order_of(u64 bytes);

struct frame *frame_of(mfn_t frame); /* NULL where there is no RAM */
struct frame *frames_table(void);    /* all of them, by mfn up to frames_end(): for the audit */
u64 frames_total(void);              /* frames of RAM */
u64 frames_end(void);                /* highest mfn of RAM + 1 */
u64 frames_free(void);
/* Of the free ones, those in whole blocks of 2 MiB. Walks the lists of blocks: for reports. */
u64 frames_free_in_blocks(void);
u64 frames_reserve(void);
u64 frames_of_class(enum frame_class class);

/*
 * For the audit, with the world stopped: walks the free lists and sets FRAME_MARK in the class of
 * every frame it meets. Returns how many lists or blocks were wrong, with the first wrong frame in
 * @wrong.
 */
#define FRAME_MARK 0x80
u64 frames_check_free_lists(mfn_t *wrong);

#endif
