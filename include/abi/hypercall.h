/*
 * The hypercall ABI, version 1. VMCALL on Intel, VMMCALL on AMD (CPUID leaf SLUICE_CPUID_FEATURES
 * says which), without prefixes. RAX = number, arguments in RDI RSI RDX R10 R8 R9, result in RAX: 0
 * or positive, or a negative value from abi/errno.h. All other registers are kept. Callers must be
 * at CPL 0 in 64-bit mode.
 */
#ifndef ABI_HYPERCALL_H
#define ABI_HYPERCALL_H

#include <stdint.h>

#define SLUICE_ABI_VERSION 1

#define HYPERCALL_BASE 0x534C0000u

#define HYPERCALL_NULL          (HYPERCALL_BASE + 0x00) /* -> 0 */
#define HYPERCALL_CONSOLE_WRITE (HYPERCALL_BASE + 0x01) /* gpa, length -> bytes taken */
#define HYPERCALL_SHUTDOWN      (HYPERCALL_BASE + 0x02) /* reason: 0 = verified; no return */

#define HYPERCALL_TMEM_POOL_NEW     (HYPERCALL_BASE + 0x10) /* flags, uuid lo, hi -> pool 0..15 */
#define HYPERCALL_TMEM_POOL_DESTROY (HYPERCALL_BASE + 0x11) /* pool -> 0 */
#define HYPERCALL_TMEM_PUT          (HYPERCALL_BASE + 0x12) /* handle, object[3], gfn -> 0 */
#define HYPERCALL_TMEM_GET          (HYPERCALL_BASE + 0x13) /* as PUT -> 0 or -ENOENT */
#define HYPERCALL_TMEM_FLUSH_PAGE   (HYPERCALL_BASE + 0x14) /* handle, object[3] -> 0 */
#define HYPERCALL_TMEM_FLUSH_OBJECT (HYPERCALL_BASE + 0x15) /* handle, object[3] -> 0 */
#define HYPERCALL_TMEM_BATCH        (HYPERCALL_BASE + 0x16) /* gpa of entries, count -> completed */

/*
 * Page flip (SLUICE_FEATURE_TMEM_FLIP). In ranges that the guest declares, a put may hand its frame
 * over and a get may bring the store's, in place of a copy; the guest cannot tell. Arguments and
 * results are those of TMEM_PUT and TMEM_GET, with two differences: after a put that returned 0 the
 * content of the gfn is undefined (after an error it is unchanged), and a pinned gfn of a declared
 * range may get -EBUSY. Elsewhere they do the same as those. DECLARE: -EFAULT beyond RAM, -EINVAL
 * for no pages or what is declared already, -ENOSPC for more than 8 ranges, -ENOMEM. UNDECLARE
 * names just what was declared, else -EINVAL.
 */
#define HYPERCALL_FLIP_DECLARE   (HYPERCALL_BASE + 0x40) /* gfn, pages -> 0 */
#define HYPERCALL_FLIP_UNDECLARE (HYPERCALL_BASE + 0x41) /* gfn, pages -> 0 */
#define HYPERCALL_TMEM_PUT_FLIP  (HYPERCALL_BASE + 0x42) /* handle, object[3], gfn -> 0 */
#define HYPERCALL_TMEM_GET_FLIP  (HYPERCALL_BASE + 0x43) /* as PUT_FLIP -> 0 or -ENOENT */
/* Volatile pages: abi/volatile.h. */
#define HYPERCALL_VOLATILE_REGISTER                                                                \
	(HYPERCALL_BASE + 0x44) /* first gfn, pages, gpa of states, magic, flags -> 0 */
#define HYPERCALL_VOLATILE_UNREGISTER (HYPERCALL_BASE + 0x45) /* -> 0 */
#define HYPERCALL_VOLATILE_VE         (HYPERCALL_BASE + 0x46) /* gpa of a page | 1, or 0 -> 0 */

/* Opens the miss filter of a private pool (abi/filter.h), or finds it open: pool, gpa of a struct
 * tmem_filter_info -> 0 */
#define HYPERCALL_TMEM_FILTER (HYPERCALL_BASE + 0x48)

/*
 * Control of tmem (abi/tmem_control.h), for privileged guests; -EPERM for others. @guest is a
 * guest's place in the manifest, from 0, among those that could be made. -ESRCH: there is none, or
 * it has no tmem, or it has ended; TMEM_GUEST tells of these too, and gets -ESRCH beyond the last.
 */
#define HYPERCALL_TMEM_GUEST  (HYPERCALL_BASE + 0x80) /* guest, gpa of its information -> 0 */
#define HYPERCALL_TMEM_FREEZE (HYPERCALL_BASE + 0x81) /* guest -> 0 */
#define HYPERCALL_TMEM_THAW   (HYPERCALL_BASE + 0x82) /* guest -> 0 */
#define HYPERCALL_TMEM_WEIGHT (HYPERCALL_BASE + 0x83) /* guest, 1..65535 -> 0 */
#define HYPERCALL_TMEM_CAPS   (HYPERCALL_BASE + 0x84) /* guest, persistent, ephemeral pages -> 0 */
#define HYPERCALL_TMEM_LIST   (HYPERCALL_BASE + 0x85) /* guest, gpa of 16 pools -> how many */
#define HYPERCALL_TMEM_SAVE   (HYPERCALL_BASE + 0x86) /* guest, gpa of state, gpa, bytes -> bytes */
#define HYPERCALL_TMEM_RESTORE                                                                     \
	(HYPERCALL_BASE + 0x87) /* guest, gpa of status, gpa, bytes -> bytes */
#define HYPERCALL_TMEM_ABANDON (HYPERCALL_BASE + 0x88) /* guest -> 0 */

/* For privileged guests, too: another policy from the next tick on (abi/balloon_control.h), or
 * BALLOON_CONTROL_ASK -> the one before */
#define HYPERCALL_BALLOON_POLICY (HYPERCALL_BASE + 0x90)

/* The first argument of PUT, GET and FLUSH: page index high, pool id (signed) in the low half. */
#define TMEM_HANDLE(pool, index) ((uint64_t)(index) << 32 | (uint32_t)(pool))

#define TMEM_POOL_PERSISTENT 0x1u
#define TMEM_POOL_SHARED     0x2u
/* Switch off for this pool what the guest's manifest switches on; nothing can be switched on. Not
 * with TMEM_POOL_SHARED, whose pages are stored as they are. All other bits are reserved: -EINVAL.
 */
#define TMEM_POOL_NO_FILLED   0x10u /* pages of one repeated word take frames */
#define TMEM_POOL_NO_DEDUP    0x20u /* equal pages are not stored once */
#define TMEM_POOL_NO_COMPRESS 0x40u
#define TMEM_POOL_NO_SHIFT    4 /* from TMEM_POOL_MODE_... (abi/tmem_control.h) */
#define TMEM_POOLS_PER_GUEST  16

/* At most this many entries are worked on by one TMEM_BATCH. */
#define TMEM_BATCH_MAX 64

/* One entry of a batch. The hypervisor reads it once and writes only @result. */
struct tmem_batch_entry {
	uint32_t op;     /* HYPERCALL_TMEM_PUT, _GET, _FLUSH_PAGE */
	int32_t result;  /* 0 or a negative errno */
	uint64_t handle; /* TMEM_HANDLE() */
	uint64_t object[3];
	uint64_t gfn;
	uint64_t zero[2]; /* must be zero */
};
_Static_assert(sizeof(struct tmem_batch_entry) == 64, "batch entries are 64 bytes");

#endif
