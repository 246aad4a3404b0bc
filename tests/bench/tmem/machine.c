/*
 * What the machine does beside the engine's operations one by one: a read at a random place, and
 * two threads at once.
 */
#include "tests/bench/tmem/bench.h"

#include <pthread.h>
#include <stdio.h>

#include <abi/errno.h>

#include "tmem/port.h"

void random_read(u64 bytes)
{
	static struct samples samples;
	u64 count = bytes / 64;
	u64 *ring = bench_memory(bytes / PAGE_SIZE + 1);
	u64 at = 0;

	/* A permutation that is one cycle (Sattolo). */
	for (u64 i = 0; i < count; i++)
		ring[i * 8] = i;
	for (u64 i = count - 1; i > 0; i--) {
		u64 swap = ring[i * 8], j;

		tmem_port_random(&j, 1);
		j %= i;
		ring[i * 8] = ring[j * 8];
		ring[j * 8] = swap;
	}
	for (unsigned i = 0; i < repetitions; i++) {
		u64 start = ticks();

		for (u64 n = 0; n < pages; n++)
			at = ring[at * 8];
		samples.ns[i] = (double)(ticks() - start) * ns_per_tick / (double)pages;
	}
	must(at < count, "a random read");
	printf("random_read\t%lluKiB\tplain\t%llu\t%.1f\t-\t-\t-\n",
		(unsigned long long)bytes / 1024, (unsigned long long)pages, median(samples.ns));
}

/* ---- Two threads -------------------------------------------------------------------- */

struct thread_work {
	pthread_t thread;
	pthread_barrier_t *barrier;
	struct tmem_client *client;
	u64 first, count;
	int what; /* 0 copies, 1 put and get, 2 misses, 3 put and flush: only the flushes timed */
	u64 ticks;
};

static void *thread_run(void *argument)
{
	struct thread_work *work = argument;
	u64 start;

	if (work->barrier)
		pthread_barrier_wait(work->barrier);
	start = ticks();
	for (u64 i = work->first; i < work->first + work->count; i++) {
		struct tmem_handle handle = {{i / 64, 0, 0}, i % 64, 0};
		u8 *page = guest + i * PAGE_SIZE;
		int result = 0;

		switch (work->what) {
		case 0:
			arch_copy_page(target + i * PAGE_SIZE, page);
			break;
		case 1:
			result = tmem_put(work->client, &handle, page);
			break;
		case 2:
			handle.object[1] = 1;
			result = tmem_get(work->client, &handle, page) + SLUICE_ENOENT;
			break;
		default:
			result = tmem_flush_page(work->client, &handle);
		}
		must(result == 0, "an operation of a thread");
	}
	work->ticks = ticks() - start;
	return NULL;
}

/* How many times as much two threads do as one, on halves of the memory. */
static double speedup(int what, struct tmem_client *const clients[2], double *ns)
{
	struct thread_work work[2];
	pthread_barrier_t barrier;
	u64 alone = 0, together;

	for (unsigned i = 0; i < 2; i++) {
		work[i] = (struct thread_work){.client = clients[i],
			.first = i * (pages / 2),
			.count = pages / 2,
			.what = what};
		thread_run(&work[i]);
		alone += work[i].ticks;
	}
	if (what == 1 || what == 3)
		for (unsigned i = 0; i < 2; i++) {
			struct thread_work undo = work[i];

			undo.what = what == 1 ? 3 : 1;
			thread_run(&undo);
		}
	pthread_barrier_init(&barrier, NULL, 2);
	for (unsigned i = 0; i < 2; i++) {
		work[i].barrier = &barrier;
		must(!pthread_create(&work[i].thread, NULL, thread_run, &work[i]), "a thread");
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(work[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
	together = MAX(work[0].ticks, work[1].ticks);
	*ns = (double)together * ns_per_tick / (double)pages;
	return (double)alone / (double)together;
}

/* @x_copy stands for the scaling against that of plain copies in the same repetition. For misses
 * and flushes, which copy nothing, it is the speedup itself. */
void scaling(void)
{
	static const char *const rows[] = {"", "scaling_2", "scaling_2_miss", "scaling_2_flush"};
	double factor[4][REPETITIONS], ns[4][REPETITIONS];
	struct tmem_client *clients[2];

	new_store(0, false);
	clients[0] = client;
	clients[1] = new_client();
	for (unsigned i = 0; i < repetitions; i++) {
		double plain = speedup(0, clients, &ns[0][i]);

		factor[1][i] = speedup(1, clients, &ns[1][i]) / plain;
		factor[2][i] = speedup(2, clients, &ns[2][i]);
		factor[3][i] = speedup(3, clients, &ns[3][i]);
	}
	while (tmem_client_destroy(clients[1]) == -SLUICE_EAGAIN)
		;
	end_store();
	for (unsigned what = 1; what < 4; what++)
		printf("%s\t64\tplain\t%llu\t%.1f\t%.3f\t-\t-\n", rows[what],
			(unsigned long long)pages, median(ns[what]), median(factor[what]));
}
