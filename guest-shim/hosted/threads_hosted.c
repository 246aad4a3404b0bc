/*
 * threads.h on a host: one POSIX thread at a time.
 */
#include "guest-shim/threads.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

static pthread_t thread;
static bool started;
static void (*work)(void *argument);

static void *run(void *argument)
{
	work(argument);
	return NULL;
}

int thread_start(void (*function)(void *argument), void *argument)
{
	if (started)
		return -EBUSY;
	work = function;
	if (pthread_create(&thread, NULL, run, argument) != 0)
		return -ENODEV;
	started = true;
	return 0;
}

int thread_join(void)
{
	if (!started)
		return -ESRCH;
	if (pthread_join(thread, NULL) != 0)
		abort();
	started = false;
	return 0;
}

void *thread_memory(size_t bytes)
{
	return calloc(1, bytes);
}

void mutex_lock(struct mutex *mutex)
{
	while (__atomic_exchange_n(&mutex->word, 1, __ATOMIC_ACQUIRE) != 0)
		sched_yield();
}

void mutex_unlock(struct mutex *mutex)
{
	__atomic_store_n(&mutex->word, 0, __ATOMIC_RELEASE);
}
