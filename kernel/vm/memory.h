/*
 * Guest-physical memory: the gfn table (which host frame stands behind each guest frame, its state and
 * pins) and the nested page tables that the processor walks. One data structure, one lock a VM
 * (LOCK_MEMORY). A service may use a host pointer into guest memory until the end of the exit that asked
 * for it, never longer; asynchronous I/O pins.
 */
#ifndef VM_MEMORY_H
#define VM_MEMORY_H

#include "kernel/core/lock.h"
#include "kernel/vm/vcpu.h"
#include "lib/types.h"

enum gfn_state { GFN_UNPOPULATED, GFN_RAM, GFN_MMIO };

/* The bit layouts of EPT and NPT entries: two constants, chosen at boot. */
struct nested_layout {
	const char *name;
	u64 table;       /* a next-level table */
	u64 leaf;        /* read, write, execute; memory type write-back; at level 1 */
	u64 large;       /* added to a leaf at level 2 or 3 */
	u64 empty;       /* an absent entry (EPT: suppress #VE) */
	u64 present;     /* any of these bits: the entry is present */
	u64 accessed;    /* 0 where the processor keeps none */
	u64 dirty;
	bool huge;       /* 1 GiB leaves allowed */
};

struct memory {
	struct spinlock lock;
	const struct nested_layout *layout;
	hpa_t root;           /* level-4 table */
	u64 generation;       /* bumped when an entry was removed or weakened */
	u64 *gfns;            /* the gfn table */
	u64 gfn_count;        /* entries: highest RAM gfn + 1, the hole included */
	u64 ram_pages;        /* the guest's RAM */
	u64 populated_pages;
	u64 table_pages;      /* nested table frames */
	u64 large_pages;      /* 2 MiB leaves */
};

struct vm;

/* Access bits of a nested fault. */
#define ACCESS_READ  BIT(0)
#define ACCESS_WRITE BIT(1)
#define ACCESS_EXEC  BIT(2)

/* Lays out @bytes of RAM (a multiple of 4 KiB) from 0, around the device hole. Nothing is populated.
 * Returns 0 or -ENOMEM. */
int __must_check memory_create(struct vm *vm, u64 bytes, const struct nested_layout *layout);
/* Gives everything back. No vCPU of the VM may run any more; frames go through limbo. */
void memory_destroy(struct vm *vm);

/*
 * A nested fault at @address. Populates RAM with the largest page that fits, or repairs a missing entry.
 * DONE: enter again; MMIO: not RAM; WAIT: no frame now, vCPU blocked; BAD: outside everything or no
 * frame to be had. Takes LOCK_MEMORY; may reclaim.
 */
enum outcome memory_fault(struct vcpu *vcpu, gpa_t address, u32 access);

/* Host pointer to one guest frame, populated if need be, valid until the end of this exit. NULL if the
 * gfn is not RAM of this guest, or no frame is to be had. Takes LOCK_MEMORY on the slow path only. */
void *memory_page(struct vm *vm, gfn_t frame);
/* Copies between guest-physical memory and the hypervisor; may cross frames. 0 or -EFAULT with nothing
 * but a prefix copied. */
int __must_check memory_read(struct vm *vm, gpa_t from, void *to, u64 bytes);
int __must_check memory_write(struct vm *vm, gpa_t to, const void *from, u64 bytes);

/* Pins a guest frame for asynchronous I/O from submit to completion; 0 and the host frame, -EFAULT if it
 * is not RAM, -EBUSY if the pin count is full. */
int __must_check memory_pin(struct vm *vm, gfn_t frame, mfn_t *host);
void memory_unpin(struct vm *vm, gfn_t frame);

/*
 * Takes one populated frame away from the guest: clears the nested entry (splitting a large page), bumps
 * the generation and puts the frame into limbo. -EBUSY if pinned, -EFAULT if not populated RAM. Used by
 * the tests of quiescence now and by balloon and flip later.
 */
int __must_check memory_remove(struct vm *vm, gfn_t frame);

/* Frames whose epoch has passed become free. Called at the head of the dispatch loop. */
void limbo_drain(void);
u64 limbo_frames(void);

/* One frame for a guest: from the allocator, else from ephemeral tmem pages. No lock may be held.
 * Not scrubbed. (kernel/vm/reclaim.c) */
mfn_t guest_frame_alloc(struct vm *vm, unsigned order);

#endif
