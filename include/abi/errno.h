/*
 * Hypercall errors: the values that Linux uses, defined here so that guests and hypervisor need no
 * errno.h of any C library. Results are returned negated in RAX.
 */
#ifndef ABI_ERRNO_H
#define ABI_ERRNO_H

#define SLUICE_EPERM  1  /* not CPL 0 in 64-bit mode; control without privilege */
#define SLUICE_ENOENT 2  /* a miss, and nothing else */
#define SLUICE_ESRCH  3  /* no such guest, or it has ended */
#define SLUICE_EAGAIN 11 /* inside the hypervisor only: more to do, restart */
#define SLUICE_EBADF  9  /* no such pool, or pool being destroyed */
#define SLUICE_ENOMEM 12 /* no frame */
#define SLUICE_EFAULT 14 /* frame or range is not the guest's RAM */
#define SLUICE_EBUSY  16 /* frame is pinned by I/O; pool shared already; restore under way */
#define SLUICE_EINVAL 22 /* reserved bits, bad count, bad operation */
#define SLUICE_ENOSPC 28 /* over the cap, or frozen */
#define SLUICE_ENOSYS 38 /* unknown hypercall number */

#endif
