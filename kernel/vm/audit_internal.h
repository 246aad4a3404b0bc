/*
 * Shared by the parts of the audit: audit.c (the order, lists, store and the final sweep) and
 * audit_memory.c (one VM).
 */
#ifndef VM_AUDIT_INTERNAL_H
#define VM_AUDIT_INTERNAL_H

#include "kernel/core/frame.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/vm.h"

/* Counts a discrepancy and logs it, unless there were too many. */
void audit_report(const char *format, ...) __printf_like(1, 2);

/*
 * @at was met as a frame of @class and @owner, by @users. Reports it if it is not that; else counts
 * its users in the frame's scratch field. False if it is no frame of that class, so that what it
 * holds must not be read.
 */
bool audit_met(mfn_t at, enum frame_class class, u16 owner, u32 users);

/* Walks the nested tables of @vm and compares them with its gfn table. */
void audit_memory(const struct vm *vm);

#endif
