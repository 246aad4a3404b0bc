/*
 * Comes before every source that Frama-C reads here: what it lacks of GCC (128-bit integers,
 * generic atomics), replaced by what means the same for one thread.
 */
#ifndef FRAMAC_PORT_H
#define FRAMAC_PORT_H

#define __int128 long /* only in hashing, which no driver calls */
#define __atomic_load_n(place, order)           (*(place))
#define __atomic_store_n(place, value, order)   (*(place) = (value))
#define __atomic_fetch_add(place, value, order) (*(place) += (value))
#define __atomic_fetch_sub(place, value, order) (*(place) -= (value))
#define __atomic_thread_fence(order)            ((void)0)
#define __atomic_signal_fence(order)            ((void)0)

#define __builtin_expect(value, likely) (value)

#include <__fc_builtin.h>

#endif
