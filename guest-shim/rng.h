/*
 * The guest's source of randomness: a virtio-rng device. Behind getentropy(), and so behind
 * newlib's arc4random().
 */
#ifndef SHIM_RNG_H
#define SHIM_RNG_H

#include "lib/types.h"

#define RNG_BYTES_MAX 256u /* as getentropy() */

/* Finds the device among PLATFORM_VIRTIO_SLOTS windows from @windows on, @stride bytes apart,
 * interrupt lines from @gsi on; there may be none. */
void rng_init(u64 windows, u64 stride, u32 gsi);

/* Fills @to, which may be paged out, with @length (at most RNG_BYTES_MAX) random bytes; sleeps
 * until they are there. 0, -ENOSYS without a device, or -EIO if it gives none. Application context.
 */
int rng_read(void *to, size_t length) __must_check;

/* The interrupt of window @slot; false if that is another device's. */
bool rng_interrupt(unsigned slot);

#endif
