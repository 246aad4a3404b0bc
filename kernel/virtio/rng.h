/*
 * virtio-rng (virtio 1.2, 5.4): a source of random bytes in PLATFORM_RNG_SLOT of every guest whose
 * manifest does not say rng = false. Each guest's come from a generator of its own.
 */
#ifndef VIRTIO_RNG_H
#define VIRTIO_RNG_H

#include "kernel/vm/vm.h"

/* Called by platform_create(); 0, where there is to be none too, or -ENOMEM after a message. */
int __must_check rng_create(struct vm *vm);
void rng_destroy(struct vm *vm);

#endif
