/*
 * Handles of a disk's pages in a pool of tmem, and what of tmem's results is no error. Pure: tested
 * hosted.
 */
#ifndef LINUX_TMEM_KEY_H
#define LINUX_TMEM_KEY_H

#include <abi/errno.h>
#include <abi/hypercall.h>

#include <stdbool.h>
#include <stdint.h>

/* The words that TMEM_PUT and its like take. */
struct tmem_key {
	uint64_t handle;
	uint64_t object[3];
};

/* The object is 16 TiB of the disk, so for all but the largest there is one. */
static inline struct tmem_key tmem_key(int pool, uint64_t page)
{
	return (struct tmem_key){
		.handle = TMEM_HANDLE(pool, page),
		.object = {page >> 32, 0, 0},
	};
}

/* Whether the @result of a put says that tmem has no room, which is no error. */
static inline bool tmem_is_full(long result)
{
	return result == -SLUICE_ENOSPC || result == -SLUICE_ENOMEM;
}

#endif
