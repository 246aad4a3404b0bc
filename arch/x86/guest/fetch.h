/*
 * The bytes of the instruction at which a vCPU stopped, as vcpu->context names it.
 */
#ifndef GUEST_FETCH_H
#define GUEST_FETCH_H

#include "arch/x86/guest/decode.h"
#include "kernel/vm/vcpu.h"

/* By CS and EFER, as the guest's processor would take its code. */
enum code_size guest_code_size(const struct vcpu_context *context);

/* Reads up to @count bytes from byte @offset of the instruction on, at most to the end of that
 * page. Returns the bytes read; 0 if they are not mapped, or not RAM. */
unsigned guest_fetch(struct vcpu *vcpu, unsigned offset, u8 *to, unsigned count);
/* Whether that byte can never be read: it, or a table on the way to it, is not RAM. Else a page
 * that is not mapped now, or has no frame, may be later: the processor finds out itself. */
bool guest_code_is_outside_ram(struct vcpu *vcpu, unsigned offset);

#endif
