/*
 * The guest's side of volatile pages (abi/volatile.h): cache pages that are not being read, and
 * free frames, may be discarded by the hypervisor. Whoever takes such a frame keeps it
 * first. Where the hypervisor offers none, or the command line does not ask for it, nothing is ever
 * let go.
 */
#ifndef SHIM_VOLATILE_H
#define SHIM_VOLATILE_H

#include "lib/types.h"

/* Bytes that frames_init() puts aside for the states of @count frames; 0 without @wanted, or where
 * the hypervisor has no volatile pages. */
size_t volatile_bytes(bool wanted, u32 count);

/* @bytes are zeros, whole pages, or NULL; they belong to this file from now on. */
void volatile_init(u8 *bytes, u32 count);

/* Whether pages are made volatile. */
bool volatile_is_on(void);

/* The content of @frame may go from now on. Nothing if it may already. */
void volatile_let_go(u32 frame);

/* @frame stays from now on; false if its content is gone. */
bool volatile_keep(u32 frame);

/* The processor says, without an exit, that a discarded frame is touched: one that was kept since
 * gets its page, any other is a panic. Interrupts are off. */
void volatile_exception(void);

/* Whether a page fault with @error at @address says that a discarded frame was touched; which. */
bool volatile_is_fault(u64 address, u64 error, u32 *frame);

#endif
