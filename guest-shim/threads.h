/*
 * One thread beside main(), on the guest's second vCPU ([[guest]] vcpus = 2 in the manifest).
 *
 * The shim's page cache, anonymous memory, files and C library have one user, main(). A thread may
 * touch only memory that is never paged out: static data, stacks, thread_memory(); and call only
 * what is declared here, hypercall(), tmem_filter_surely_lacks(), shim_time_ns(), and those
 * functions of the C library that need nothing but their arguments (memcpy, strcmp, sqrt). It must
 * not use the heap, files or stdio. A page fault on the second vCPU ends the guest with a message.
 * The thread has vector registers of its own.
 */
#ifndef SHIM_THREADS_H
#define SHIM_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THREAD_STACK_BYTES (64 * 1024)

/* Runs @function with @argument on the second vCPU. Called by main() only. Returns 0; -ENODEV if
 * there is no second vCPU that can be started; -EBUSY if a thread was not joined yet. */
int thread_start(void (*function)(void *argument), void *argument);

/* Sleeps until the thread's function has returned. Returns 0, or -ESRCH if no thread was started.
 * What the thread wrote is seen afterwards. */
int thread_join(void);

/* @bytes of zeros at a page border, never paged out and never given back; NULL if that would leave
 * less than half of memory to pages that can leave. Called by main() only. */
void *thread_memory(size_t bytes);

/* Zero is a mutex that nobody holds. */
struct mutex {
	uint32_t word;
};

/* May be held across anything that its holder may do, also while main() waits for a disk. Whoever
 * waits sleeps. Not recursive. */
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

#endif
