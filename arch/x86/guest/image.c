/* See image.h. RAM that nobody wrote reads zero, so .bss needs no work. */
#include "arch/x86/guest/image.h"

#include <abi/errno.h>

/* Bounds one call: what a device moves in a turn, too (kernel/virtio/device.c). */
#define STEP_BYTES KIB(512)

void image_begin(struct guest_image *image)
{
	image->loaded = 0;
	image->loaded_bytes = 0;
}

int image_load(struct vm *vm)
{
	struct guest_image *image = vm->image;
	u64 budget = STEP_BYTES;

	for (; image->loaded < image->count; image->loaded++) {
		const struct image_piece *piece = &image->pieces[image->loaded];
		u64 part = MIN(piece->bytes - image->loaded_bytes, budget);
		int error = memory_write(vm, gpa(piece->to + image->loaded_bytes),
			piece->from + image->loaded_bytes, part);

		if (error)
			return error;
		budget -= part;
		image->loaded_bytes += part;
		if (image->loaded_bytes < piece->bytes)
			return -SLUICE_EAGAIN;
		image->loaded_bytes = 0;
	}
	image_enter(vm, image->entry, image->start_info);
	return 0;
}

void image_enter(struct vm *vm, u32 entry, u32 start_info)
{
	vm->vcpus[0]->start = (struct vcpu_start){
		.kind = START_PVH, .entry = entry, .start_info = start_info};
	vcpu_request(vm->vcpus[0], VCPU_REQ_START);
}
