/*
 * See threads.h. The second vCPU is started with the first thread, by INIT and SIPI into a page
 * below 1 MiB, and afterwards sleeps whenever it has no thread. Both vCPUs wake each other by one
 * interrupt that means nothing but "look again".
 */
#include "guest-shim/threads.h"

#include <errno.h>
#include <string.h>

#include "guest-shim/apic.h"
#include "guest-shim/area.h"
#include "guest-shim/clock.h"
#include "guest-shim/cpu.h"
#include "guest-shim/frames.h"
#include "guest-shim/paging.h"
#include "guest-shim/panic.h"
#include "guest-shim/reclaim.h"
#include "guest-shim/threads_init.h"
#include "guest-shim/trap.h"

#define CPUID_1_EBX_VCPUS(ebx) ((ebx) >> 16 & 0xff)
#define SIPI_FRAMES            0x100u /* below 1 MiB */
#define START_NS               2000000000u

/* Looks at a held mutex before its waiter sleeps. */
#define SPINS 200u

enum mutex_state { MUTEX_FREE, MUTEX_HELD, MUTEX_WAITED_FOR };

extern const char second_trampoline[], second_trampoline_end[];
extern u64 second_stack;

static u32 sipi_frame = FRAME_NONE;
static bool second_runs; /* written once, by the second vCPU */
static bool started;     /* a thread that was not joined */

/* A function for the second vCPU; it becomes NULL when that has returned. */
static struct {
	void (*function)(void *argument);
	void *argument;
} work;

static u32 self(void)
{
	return descriptors_are_seconds() ? 1 : 0;
}

void threads_init(void)
{
	u32 frame;

	if (CPUID_1_EBX_VCPUS(cpuid(1).ebx) < 2 || !apic_can_start_vcpus())
		return;
	/* The lowest frames are handed out first; where none is low enough there are no threads. */
	frame = memory_frame();
	if (frame < SIPI_FRAMES)
		sipi_frame = frame;
	else
		frames_give(frame);
}

/* ---- The second vCPU ---------------------------------------------------------------- */

void second_main(void)
{
	paging_protect();
	descriptors_init_second();
	apic_init();
	__atomic_store_n(&second_runs, true, __ATOMIC_RELEASE);
	for (;;) {
		while (!__atomic_load_n(&work.function, __ATOMIC_ACQUIRE))
			wait_for_interrupt();
		__asm__ volatile("sti" : : : "memory");
		work.function(work.argument);
		__asm__ volatile("cli" : : : "memory");
		__atomic_store_n(&work.function, NULL, __ATOMIC_RELEASE);
		apic_send(0, VECTOR_WAKE);
	}
}

static void start_second(void)
{
	u64 end = clock_ns() + START_NS;
	char *stack = area_extend(AREA_THREAD, THREAD_STACK_BYTES);

	second_stack = (u64)stack + THREAD_STACK_BYTES;
	descriptors_prepare_second(area_extend(AREA_THREAD, SECOND_STACKS_BYTES));
	memcpy(frame_pointer(sipi_frame), second_trampoline,
		(size_t)((u64)second_trampoline_end - (u64)second_trampoline));
	apic_start_vcpu(1, (u8)sipi_frame);
	while (!__atomic_load_n(&second_runs, __ATOMIC_ACQUIRE)) {
		if (clock_ns() > end)
			panic("the second vCPU does not start");
		cpu_relax();
	}
}

int thread_start(void (*function)(void *argument), void *argument)
{
	if (sipi_frame == FRAME_NONE)
		return -ENODEV;
	if (started)
		return -EBUSY;
	if (!second_runs)
		start_second();
	started = true;
	work.argument = argument;
	__atomic_store_n(&work.function, function, __ATOMIC_RELEASE);
	apic_send(1, VECTOR_WAKE);
	return 0;
}

int thread_join(void)
{
	u64 flags;

	if (!started)
		return -ESRCH;
	flags = interrupts_save();
	while (__atomic_load_n(&work.function, __ATOMIC_ACQUIRE))
		wait_for_interrupt();
	interrupts_restore(flags);
	started = false;
	return 0;
}

void *thread_memory(size_t bytes)
{
	u64 pages = (bytes + PAGE_MASK) >> PAGE_SHIFT;

	if (bytes > (u64)frames_total() << PAGE_SHIFT ||
		frames_fixed() + pages > frames_total() / 2)
		return NULL;
	return area_extend(AREA_THREAD, pages << PAGE_SHIFT);
}

/* ---- Mutexes ------------------------------------------------------------------------ */

void mutex_lock(struct mutex *mutex)
{
	u64 flags;

	for (unsigned n = 0; n < SPINS; n++) {
		u32 free = MUTEX_FREE;

		if (__atomic_compare_exchange_n(&mutex->word, &free, MUTEX_HELD, false,
			    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
		cpu_relax();
	}
	/* The holder who finds the mark sends a wake, which is held back until the HLT. */
	flags = interrupts_save();
	while (__atomic_exchange_n(&mutex->word, MUTEX_WAITED_FOR, __ATOMIC_ACQUIRE) != MUTEX_FREE)
		wait_for_interrupt();
	interrupts_restore(flags);
}

void mutex_unlock(struct mutex *mutex)
{
	if (__atomic_exchange_n(&mutex->word, MUTEX_FREE, __ATOMIC_RELEASE) == MUTEX_WAITED_FOR)
		apic_send(!self(), VECTOR_WAKE);
}
