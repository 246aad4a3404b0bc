/*
 * A machine for the audit, and corruptions of it: two guests, a store, a RAM disk and frames in
 * limbo. Each case plants one and says what must be reported; the machine is put back from a copy
 * afterwards and must be sound again.
 */
#ifndef UNIT_AUDIT_MACHINE_H
#define UNIT_AUDIT_MACHINE_H

#include "fake/machine.h"
#include "fake/store.h"
#include "fake/vm.h"
#include "kernel/core/frame_internal.h"

#define RAM    MIB(32)
#define PINNED 5    /* a gfn of guest 1 in a 2 MiB page, pinned twice */
#define SMALL  1024 /* a gfn of guest 1 in a 4 KiB page */
#define ABSENT 600  /* a gfn of guest 1 that is not populated */
/* Of the second guest. */
#define IN_EARLIER_LIFE 19
#define BALLOONED       20
#define REPORTED        21

extern struct audit_machine {
	struct vm *one, *two;
	/* The first frame of the disk, of the store's two, and of those in limbo. */
	mfn_t disk, pool, gone;
} machine;

struct corruption {
	const char *name;
	void (*plant)(void);
	const char *report; /* must be among the lines logged */
};

#define CASE(function, text)                                                                       \
	{                                                                                          \
#function, function, text                                                          \
	}

/* The machine as new. */
void audit_machine_build(void);

/* The frame that stands behind a gfn of @vm; the number of one that is free. */
struct frame *frame_behind(struct vm *vm, u64 frame);
u32 a_free_frame(void);

struct CMUnitTest;
/* A test for each of the @cases. */
void audit_machine_tests(struct CMUnitTest *tests, const struct corruption *cases, u64 count);

#endif
