/*
 * virtio-rng: requests are answered at once, in part if they ask for more than the guest may have
 * now, and never from anything but its own generator, so that what one guest gets tells nothing of
 * what others do. The bytes go straight into the guest's pages; nothing is pinned.
 */
#include "kernel/virtio/rng.h"

#include <string.h>

#include "arch/x86/arch.h"
#include "kernel/core/frame.h"
#include "kernel/virtio/rng_state.h"
#include <abi/errno.h>

static struct virtio_rng *rng_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_rng, device);
}

enum filled {
	FILLED,       /* as far as the budget reaches */
	FILLED_LATER, /* no frame for a page of the guest */
	FILLED_NEVER  /* the driver broke the rules: a message was logged */
};

static __attribute__((noinline)) enum filled refuse(
	struct virtio_rng *rng, const char *what, u64 address)
{
	vm_complain(rng->device.vm,
		"rng: %s at %#lx, valid is RAM (%lu bytes), for the device to write", what,
		(unsigned long)address,
		(unsigned long)rng->device.vm->memory.ram_pages * PAGE_SIZE);
	return FILLED_NEVER;
}

/* Answers rng->chain; *@written bytes, never more than the budget. */
static enum filled fill(struct virtio_rng *rng, u32 *written)
{
	const struct virtq_chain *chain = &rng->chain;
	struct vm *vm = rng->device.vm;

	*written = 0;
	if (chain->readable)
		return refuse(rng, "a buffer to be read", chain->buffers[0].address);
	for (unsigned i = 0; i < chain->count; i++) {
		u64 address = chain->buffers[i].address;
		u64 left = MIN(chain->buffers[i].bytes, rng->budget - *written);

		while (left > 0) {
			gfn_t frame = gpa_to_gfn(gpa(address));
			u64 part = MIN(left, PAGE_SIZE - (address & PAGE_MASK));
			u8 *page = memory_page(vm, frame);

			if (!page)
				return memory_lacks_frame(vm, frame)
					       ? FILLED_LATER
					       : refuse(rng, "a buffer", address);
			random_bytes(&rng->random, page + (address & PAGE_MASK), part);
			*written += (u32)part;
			address += part;
			left -= part;
		}
	}
	return FILLED;
}

static void refill(struct virtio_rng *rng, u64 now)
{
	if (now < rng->refill_at)
		return;
	rng->budget = RNG_BYTES;
	rng->refill_at = now + ticks_from_us(RNG_REFILL_US);
}

/* Looks for a request that can be begun; false if there is none, or no more is to be had now. */
static bool next_request(struct virtio_rng *rng)
{
	struct virtio_device *device = &rng->device;
	struct virtq_error error;

	switch (virtqueue_peek(&device->queues[0].rings, &rng->chain, &error)) {
	case VIRTQ_BROKEN:
		virtio_complain(device, "rng", &error);
		virtio_break(device);
		return false;
	case VIRTQ_EMPTY:
		return false;
	case VIRTQ_CHAIN:
		break;
	}
	if (rng->budget == 0)
		virtio_run_at(device, rng->refill_at);
	return rng->budget > 0;
}

static void run(struct virtio_device *device)
{
	struct virtio_rng *rng = rng_of(device);
	struct virtqueue *rings = &device->queues[0].rings;
	u64 since = arch_tsc();
	bool any = false;

	refill(rng, since);
	while (next_request(rng)) {
		u32 written;
		enum filled filled = fill(rng, &written);

		if (filled == FILLED_NEVER) {
			virtio_break(device);
			return;
		}
		if (filled == FILLED_LATER && written == 0) {
			virtio_run_at(device, arch_tsc() + ticks_from_us(VIRTIO_LATER_US));
			break;
		}
		rng->budget -= MIN(rng->budget, MAX(written, RNG_CHAIN_COST));
		if (rng->budget == 0)
			rng->refill_at = MAX(rng->refill_at, virtio_rest_until(device, since));
		virtqueue_take(rings);
		virtqueue_push(rings, rng->chain.head, written);
		any = true;
	}
	/* A queue that broke meanwhile is gone, and its driver was told. */
	if (any && rings->size && virtqueue_wants_interrupt(rings))
		virtio_interrupt(device, VIRTIO_INTERRUPT_QUEUE);
}

/* Requests are never under way between two turns. */
static void forget(struct virtio_device *device, unsigned queue)
{
	(void)device;
	(void)queue;
}

static const struct virtio_ops rng_ops = {
	.id = VIRTIO_ID_RNG,
	.queues = 1,
	.run = run,
	.forget = forget,
};

__init int rng_create(struct vm *vm)
{
	struct virtio_rng *rng;

	if (!vm->config->rng)
		return 0;
	rng = hypervisor_alloc(0);
	if (!rng) {
		log_error("guest \"%s\": no memory for its random number generator",
			vm->config->name);
		return -SLUICE_ENOMEM;
	}
	rng->device.ops = &rng_ops;
	rng->device.vm = vm;
	virtio_attach(&rng->device, PLATFORM_RNG_SLOT);
	return 0;
}

void rng_destroy(struct vm *vm)
{
	struct virtio_device *device = vm->devices[PLATFORM_RNG_SLOT];

	if (!device)
		return;
	virtio_detach(device);
	memset(&rng_of(device)->random, 0, sizeof(rng_of(device)->random)); /* its key */
	hypervisor_free(rng_of(device), 0);
}
