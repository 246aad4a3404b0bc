/*
 * A virtio-console device, for console.c and its tests: all of it but the input ring is the
 * runner's (device.h).
 */
#ifndef VIRTIO_CONSOLE_STATE_H
#define VIRTIO_CONSOLE_STATE_H

#include "kernel/virtio/device.h"

/* What one turn moves in each direction, where a request counts as CONSOLE_CHAIN_COST more. The
 * next turn is the next notification's, or comes by itself (virtio_rest_until()). */
#define CONSOLE_TURN_BYTES 1024u
#define CONSOLE_CHAIN_COST 16u

#define CONSOLE_INPUT_BYTES 256u /* a power of two */

struct virtio_console {
	struct virtio_device device;
	u64 sent; /* bytes of the chain at the head of the transmit queue */
	/* Free-running: [input_tail, input_head) wait for the driver. The head is moved by
	 * console_input(), the tail by the runner. */
	u32 input_head, input_tail;
	char input[CONSOLE_INPUT_BYTES];
	struct virtq_chain chain; /* scratch */
};
_Static_assert(sizeof(struct virtio_console) <= PAGE_SIZE, "it is allocated as one page");

#endif
