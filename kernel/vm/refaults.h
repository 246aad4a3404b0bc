/*
 * The refault distances of one guest: what the tmem engine tells of its sampled pages
 * (tmem/port.h, tmem_port_sampled()) goes to the ghosts that the balloon policies read. The lock
 * of the guest's tmem client guards them; balloon/ghosts.h says who may read without it.
 */
#ifndef VM_REFAULTS_H
#define VM_REFAULTS_H

#include "balloon/ghosts.h"
#include "lib/types.h"

struct vm;

struct refaults {
	u64 told; /* sampled operations */
	struct ghosts ghosts;
	struct ghost table[];
};

/* For a guest whose memory is there, and before its tmem client is: vm->refaults. -ENOMEM. */
int __must_check refaults_create(struct vm *vm);
/* As refaults_create() leaves them, before another client is told of. */
void refaults_clear(struct vm *vm);
/* After its tmem client is gone. */
void refaults_destroy(struct vm *vm);

/* Of 2^32 keys so many are to be sampled; 0 without refaults. */
u32 refaults_threshold(const struct vm *vm);

#endif
