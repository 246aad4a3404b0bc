/*
 * What a guest is loaded from when it is started again: which bytes stand where when its first
 * vCPU begins. Found out once, at boot (pvh.c), from modules that are kept and from pages written
 * there, so that nothing of that needs to stay. The boot CPU only; no lock.
 */
#ifndef GUEST_IMAGE_H
#define GUEST_IMAGE_H

#include "arch/x86/guest/elf.h"
#include "kernel/vm/vm.h"

struct image_piece {
	const u8 *from;
	u64 to; /* guest-physical */
	u64 bytes;
};

/* Segments, initrd, and what pvh.c writes below 1 MiB: ACPI tables and start info, reset code. */
#define IMAGE_PIECES_MAX (ELF_SEGMENTS_MAX + 3)

struct guest_image {
	struct image_piece pieces[IMAGE_PIECES_MAX];
	unsigned count;
	u32 entry, start_info; /* of START_PVH */
	/* How far it is loaded: pieces, and bytes of the next one. */
	unsigned loaded;
	u64 loaded_bytes;
	u8 written[]; /* what no module holds */
};

/* Before image_load() of a VM whose RAM holds nothing. */
void image_begin(struct guest_image *image);
/*
 * Loads a bounded part of vm->image. 0 when all of it is there and vcpu 0 has its @start;
 * -EAGAIN while there is more; -ENOMEM while no frame is to be had: it goes on where it was.
 */
int __must_check image_load(struct vm *vm);
/* Makes vcpu 0 begin at @entry with @start_info, once it is started. */
void image_enter(struct vm *vm, u32 entry, u32 start_info);

#endif
