/*
 * How tests of kernel/vm/ end: threads that may have something to complain of, and guests that must
 * leave nothing behind. To be included after cmocka.h.
 */
#ifndef FAKE_ENDING_H
#define FAKE_ENDING_H

#include <pthread.h>

#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/vm/audit.h"

/* Waits for a thread, which returns NULL or what failed, as text. */
static inline void fake_join(pthread_t thread)
{
	void *complaint;

	assert_int_equal(pthread_join(thread, &complaint), 0);
	if (complaint)
		fail_msg("%s", (const char *)complaint);
}

/* Takes the last guest's memory away, as CPU 0. */
static inline void fake_end_guest(struct vm *vm)
{
	fake_run_as(0);
	assert_int_equal(audit_run(), 0);
	memory_destroy(vm);
	fake_limbo_empty();
	assert_int_equal(frames_of_class(FRAME_GUEST), 0);
	assert_int_equal(audit_run(), 0);
}

#endif
