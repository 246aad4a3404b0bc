/*
 * The audit: recounts who uses every frame and compares with what the frame table says.
 */
#ifndef VM_AUDIT_H
#define VM_AUDIT_H

#include "lib/types.h"

/*
 * Runs on one CPU while all others are parked at the head of their dispatch loops (or have
 * stopped). Logs each discrepancy, the first AUDIT_REPORTS of them by line, then one line with the
 * result. Returns how many there were: 0 means that every frame is in exactly one place and none is
 * lost.
 */
u64 audit_run(void);

#define AUDIT_REPORTS 16

#endif
