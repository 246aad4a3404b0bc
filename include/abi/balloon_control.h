/*
 * The policies that move memory between guests, as HYPERCALL_BALLOON_POLICY numbers them
 * (abi/hypercall.h; docs/balloon.md says what each does).
 */
#ifndef ABI_BALLOON_CONTROL_H
#define ABI_BALLOON_CONTROL_H

#define BALLOON_CONTROL_REFAULT     0u
#define BALLOON_CONTROL_STATIC      1u
#define BALLOON_CONTROL_SELFBALLOON 2u
#define BALLOON_CONTROL_SHARES      3u
#define BALLOON_CONTROL_ALTERNATE   4u /* for tests of the mechanism: to and fro */
#define BALLOON_CONTROL_POLICIES    5u

#define BALLOON_CONTROL_ASK (~0ul) /* changes nothing */

#endif
