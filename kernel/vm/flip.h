/*
 * The hypercalls of page flip (include/abi/hypercall.h). Their arguments are hostile.
 */
#ifndef VM_FLIP_H
#define VM_FLIP_H

#include "kernel/vm/vcpu.h"
#include "tmem/tmem.h"

/* In place of a result: nothing was done, the page is to be copied as by TMEM_PUT or TMEM_GET. */
#define FLIP_BY_COPY 1

/* HYPERCALL_FLIP_DECLARE and _UNDECLARE. 0, -EAGAIN (to be made again), or the error. */
s64 flip_declare(struct vcpu *vcpu, u64 first, u64 pages);
s64 flip_undeclare(struct vcpu *vcpu, u64 first, u64 pages);
/* A put or get of gfn @frame: 0, FLIP_BY_COPY, -EAGAIN (to be made again), or the error. No lock is
 * held. */
s64 flip_put(struct vcpu *vcpu, const struct tmem_handle *handle, u64 frame);
s64 flip_get(struct vcpu *vcpu, const struct tmem_handle *handle, u64 frame);

#endif
