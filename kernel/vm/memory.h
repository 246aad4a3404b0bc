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

enum gfn_state { GFN_UNPOPULATED, GFN_RAM, GFN_MMIO };

/*
 * An entry of the gfn table. Bits 3:0 state, 51:12 host frame, 63:52 pin count. Invariant: the
 * state is GFN_RAM exactly where the nested tables hold a present leaf, and both name the same
 * frame. Changed under LOCK_MEMORY, except that pins move by compare-and-swap; read by anybody.
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

struct memory {
	struct spinlock lock;
	const struct nested_layout *layout;
	hpa_t root;     /* level-4 table */
	u64 generation; /* bumped when an entry was removed or weakened; starts at 1 */
	u64 *gfns;      /* the gfn table */
	u64 gfn_count;  /* entries: highest RAM gfn + 1, the hole included */
	u64 ram_pages;  /* the guest's RAM */
	u64 populated_pages;
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
};

struct vm;

/* Access bits of a nested fault. */
#define ACCESS_READ  BIT(0)
#define ACCESS_WRITE BIT(1)
#define ACCESS_EXEC  BIT(2)

/* Lays out @bytes of RAM (a multiple of 4 KiB) from 0, around the device hole. Nothing is
 * populated. Returns 0 or -ENOMEM. */
int __must_check memory_create(struct vm *vm, u64 bytes, const struct nested_layout *layout);
/* Gives everything back. No vCPU of the VM may run any more and nothing may be pinned; frames go
 * through limbo. */
void memory_destroy(struct vm *vm);

/*
 * A nested fault at @address. Populates RAM with the largest page that fits. DONE: enter again
 * (another vCPU may have been faster; of a 1 GiB page only a part may be scrubbed yet, and the
 * guest faults again); MMIO: in the device hole; BAD: beyond RAM; WAIT: no frame is to be had, the
 * VM was stopped with STOP_NO_MEMORY (later, it will wait for one). Takes LOCK_MEMORY; may reclaim:
 * no lock may be held.
 */
enum outcome memory_fault(struct vcpu *vcpu, gpa_t address, u32 access);

/* Host pointer to one guest frame, populated if need be, valid until the end of this exit. NULL if
 * the gfn is not RAM of this guest, or no frame is to be had. Takes LOCK_MEMORY on the slow path
 * only, and may reclaim there: no lock but LOCK_VM may be held. */
void *memory_page(struct vm *vm, gfn_t frame);
/* Copies between guest-physical memory and the hypervisor; may cross frames. 0 or -EFAULT with
 * nothing but a prefix copied. */
int __must_check memory_read(struct vm *vm, gpa_t from, void *to, u64 bytes);
int __must_check memory_write(struct vm *vm, gpa_t to, const void *from, u64 bytes);

/* Pins a guest frame for asynchronous I/O from submit to completion; 0 and the host frame, -EFAULT
 * if it is not RAM, -EBUSY if the pin count is full. */
int __must_check memory_pin(struct vm *vm, gfn_t frame, mfn_t *host);
void memory_unpin(struct vm *vm, gfn_t frame);

/*
 * Takes one populated frame away from the guest: clears the nested entry (splitting a large page),
 * bumps the generation and puts the frame into limbo. -EBUSY if pinned, -EFAULT if not populated
 * RAM. Used by the tests of quiescence now and by balloon and flip later.
 */
int __must_check memory_remove(struct vm *vm, gfn_t frame);

/*
 * Whether @pages more can be promised to a guest: all promises, the persistent pages of tmem, what
 * the hypervisor and RAM disks hold and the reserve must fit in RAM (kernel/vm/commit.c). 0, or
 * -ENOMEM after a message that names the figures and @name.
 */
int __must_check memory_commit(const char *name, u64 pages);
void memory_uncommit(u64 pages);
u64 memory_committed(void);

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

#endif
