/*
 * The real tmem engine on the hypervisor's frames and locks: the pool fills what nobody uses,
 * guests take it back, persistent pages leave what was promised, and the audit agrees at every
 * step. Built with lock-order assertions.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <abi/errno.h>
#include <abi/hypercall.h>

#include "fake/engine.h"
#include "fake/machine.h"
#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/tmem_port.h"
#include "tmem/client.h"
#include "tmem/port.h"

#define GUEST MIB(16)

static struct vm *vm;
static struct tmem_client *client;
static struct vcpu vcpu;
static s32 ephemeral, persistent;

static void start(u64 ram, unsigned cpus)
{
	fake_engine_machine(ram, cpus);
	client = fake_engine_client(256, ~0UL, 0);
	ephemeral = tmem_pool_create(client, 0, 0, 0);
	persistent = tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0);
	assert_true(ephemeral >= 0 && persistent >= 0);
	vm = fake_engine_guest(&vcpu, GUEST, &fake_ept);
}

static void finish(void)
{
	fake_engine_end_guest(vm);
	fake_engine_end_client(client);
	assert_int_equal(audit_run(), 0);
	fake_engine_end();
}

/* Puts page @number through a page of the guest's own. */
static int put(s32 pool, u64 number)
{
	struct tmem_handle key = fake_engine_handle(pool, number);
	u8 *page = memory_page(vm, gfn(3));

	fake_engine_fill(page, number);
	return tmem_put(client, &key, page);
}

static int get(s32 pool, u64 number)
{
	struct tmem_handle key = fake_engine_handle(pool, number);
	u8 *page = memory_page(vm, gfn(4));
	int result = tmem_get(client, &key, page);

	if (result == 0)
		assert_true(fake_engine_holds(page, number));
	return result;
}

static void pool_fills_what_nobody_uses(void **state)
{
	u64 hits = 0;

	(void)state;
	start(MIB(48), 1);
	for (u64 number = 0; number < MIB(64) / PAGE_SIZE; number++)
		assert_int_equal(put(ephemeral, number), 0);
	/* All but the reserve, and less than one block that could not be had. */
	assert_in_range(frames_free(), frames_reserve(), frames_reserve() + BLOCK_PAGES);
	assert_true(frames_of_class(FRAME_TMEM) > MIB(32) / PAGE_SIZE);
	assert_int_equal(audit_run(), 0);
	for (u64 number = 0; number < MIB(64) / PAGE_SIZE; number++)
		hits += get(ephemeral, number) == 0;
	assert_true(hits > MIB(30) / PAGE_SIZE);
	assert_int_equal(audit_run(), 0);
	finish();
}

static void guests_get_all_they_were_promised(void **state)
{
	struct tmem_stats before, after;

	(void)state;
	start(MIB(48), 1);
	for (u64 number = 0; number < MIB(64) / PAGE_SIZE; number++)
		assert_int_equal(put(ephemeral, number), 0);
	tmem_stats(tmem_store, &before);
	for (u64 at = 0; at < GUEST; at += PAGE_SIZE)
		assert_int_equal(memory_fault(&vcpu, gpa(at), ACCESS_WRITE), DONE);
	assert_int_equal(vm->memory.populated_pages, GUEST / PAGE_SIZE);
	tmem_stats(tmem_store, &after);
	assert_true(after.ephemeral_pages < before.ephemeral_pages);
	assert_true(frames_free() >= frames_reserve());
	assert_int_equal(audit_run(), 0);
	finish();
}

static void persistent_pages_never_break_a_promise(void **state)
{
	u64 kept = 0;
	int result;

	(void)state;
	start(MIB(48), 1);
	while ((result = put(persistent, kept)) == 0)
		kept++;
	assert_int_equal(result, -SLUICE_ENOSPC);
	assert_true(kept > MIB(16) / PAGE_SIZE);
	/* Ephemeral pages fill the rest, and do not matter. */
	for (u64 number = 0; number < MIB(16) / PAGE_SIZE; number++)
		(void)!put(ephemeral, number);
	for (u64 at = 0; at < GUEST; at += PAGE_SIZE)
		assert_int_equal(memory_fault(&vcpu, gpa(at), ACCESS_WRITE), DONE);
	for (u64 number = 0; number < kept; number++)
		assert_int_equal(get(persistent, number), 0);
	assert_int_equal(audit_run(), 0);
	finish();
}

/* A promise must hold also when persistent pages are spread thinly over many blocks. */
static void thin_persistent_blocks_never_break_a_promise(void **state)
{
	u64 kept = 0;

	(void)state;
	start(MIB(48), 1);
	while (put(persistent, kept) == 0)
		kept++;
	for (u64 number = 0; number < kept; number++) {
		struct tmem_handle key = fake_engine_handle(persistent, number);

		if (number % 97)
			assert_int_equal(tmem_flush_page(client, &key), 0);
	}
	for (u64 at = 0; at < GUEST; at += PAGE_SIZE)
		assert_int_equal(memory_fault(&vcpu, gpa(at), ACCESS_WRITE), DONE);
	for (u64 number = 0; number < kept; number += 97)
		assert_int_equal(get(persistent, number), 0);
	assert_int_equal(audit_run(), 0);
	finish();
}

/* Each CPU has a compressor's state and scratch pages of its own. */
static void every_cpu_can_compress(void **state)
{
	static u8 page[PAGE_SIZE], fragments[2][PAGE_SIZE], again[PAGE_SIZE];
	struct tmem_scratch *scratches[2];
	u32 lengths[2];

	(void)state;
	start(MIB(48), 2);
	assert_int_equal(tmem_port_start_compression(), 0);
	assert_int_equal(tmem_port_start_compression(), 0); /* no second time */
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		page[i] = (u8)(i % 7 ? i / 64 : i * i);
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		fake_run_as(cpu);
		scratches[cpu] = tmem_port_scratch();
		memset(scratches[cpu], 0xff, sizeof(*scratches[cpu]));
		lengths[cpu] = tmem_port_compress(fragments[cpu], page, PAGE_SIZE);
		assert_in_range(lengths[cpu], 1, PAGE_SIZE - 1);
		assert_int_equal(tmem_port_decompress(again, fragments[cpu], lengths[cpu]), 0);
		assert_memory_equal(again, page, PAGE_SIZE);
		assert_true(tmem_port_decompress(again, fragments[cpu], lengths[cpu] - 1) ==
			    -SLUICE_EINVAL);
	}
	assert_ptr_not_equal(scratches[0], scratches[1]);
	assert_int_equal(lengths[0], lengths[1]);
	assert_memory_equal(fragments[0], fragments[1], lengths[0]);
	fake_run_as(0);
	assert_int_equal(audit_run(), 0);
	finish();
}

/* ---- Pages that another CPU may be reading --------------------------------------------------- */

#define WATCHERS 3U

static enum frame_class class_of(const void *page)
{
	return frame_of(ptr_to_mfn(page))->class;
}

/* CPU @index at the head of its dispatch loop. */
static void pass(unsigned index)
{
	fake_run_as(index);
	epoch_quiescent(epoch_now());
	limbo_drain();
	fake_run_as(0);
}

/* Whichever CPU comes last, the page is nobody's before it came, and is not written to. */
static void a_page_freed_later_waits_for_every_cpu(void **state)
{
	(void)state;
	for (unsigned last = 0; last < WATCHERS; last++) {
		u8 *page;

		start(MIB(48), WATCHERS);
		page = tmem_port_alloc(0);
		assert_non_null(page);
		fake_engine_fill(page, last);
		tmem_port_free_later(page);
		limbo_drain();
		for (unsigned cpu = 0; cpu < WATCHERS; cpu++) {
			if (cpu == last)
				continue;
			pass(cpu);
			pass(cpu);
			assert_int_equal(class_of(page), FRAME_LIMBO);
			assert_true(fake_engine_holds(page, last));
		}
		pass(last);
		assert_int_equal(class_of(page), FRAME_FREE);
		finish();
	}
}

static void a_page_freed_later_does_not_wait_for_an_idle_cpu(void **state)
{
	void *page;

	(void)state;
	start(MIB(48), WATCHERS);
	fake_run_as(2);
	epoch_enter_idle();
	fake_run_as(0);
	page = tmem_port_alloc(0);
	tmem_port_free_later(page);
	pass(0);
	assert_int_equal(class_of(page), FRAME_LIMBO);
	pass(1);
	assert_int_equal(class_of(page), FRAME_FREE);
	fake_run_as(2);
	epoch_leave_idle();
	/* Awake again, it counts. */
	fake_run_as(0);
	page = tmem_port_alloc(0);
	tmem_port_free_later(page);
	pass(0);
	pass(1);
	assert_int_equal(class_of(page), FRAME_LIMBO);
	pass(2);
	assert_int_equal(class_of(page), FRAME_FREE);
	finish();
}

/* What a get without the lock walks through stays as it is until CPU 1, which is in the middle of
 * one, is through: the pool itself, and the pages that name the buckets of its tables. */
static void the_index_of_a_destroyed_pool_waits_for_its_readers(void **state)
{
	struct tmem_handle key;
	const struct pool *pool;
	const struct line *nowhere;
	struct line **middle;
	int left;

	(void)state;
	start(MIB(48), WATCHERS);
	pool = client->pools[ephemeral];
	for (u64 number = 0; number < 300; number++) {
		key = fake_engine_handle(ephemeral, number * 1000);
		assert_int_equal(tmem_put(client, &key, memory_page(vm, gfn(3))), 0);
	}
	middle = pool->object_table.now.middles[0];
	assert_non_null(middle);
	do
		left = tmem_pool_destroy(client, ephemeral);
	while (left == -SLUICE_EAGAIN);
	assert_int_equal(left, 0);
	pass(0);
	pass(2);
	assert_int_equal(class_of(pool), FRAME_LIMBO);
	assert_int_equal(class_of(middle), FRAME_LIMBO);
	/* It still leads nowhere else: a pool that is going, no bucket. */
	assert_true(pool->dying && !pool->persistent);
	assert_ptr_not_equal(pool->object_table.now.middles[0], middle);
	nowhere = pool->object_table.now.middles[0][0];
	for (unsigned i = 0; i < LINES_PER_LEAF; i++)
		assert_true(!nowhere[i].present && !nowhere[i].first_tags && !nowhere[i].next);
	for (unsigned i = 0; i < TABLE_POINTERS; i++) {
		assert_ptr_equal(middle[i], nowhere);
		assert_ptr_equal(pool->object_table.now.middles[0][i], nowhere);
	}
	assert_int_equal(audit_run(), 0);
	/* The next pool does not get them. */
	assert_int_equal(tmem_pool_create(client, 0, 0, 0), ephemeral);
	assert_ptr_not_equal(client->pools[ephemeral], pool);
	pass(1);
	assert_int_equal(class_of(pool), FRAME_FREE);
	assert_int_equal(class_of(middle), FRAME_FREE);
	finish();
}

/* ---- Several CPUs --------------------------------------------------------------------------- */

#define THREADS 2

static void *work(void *argument)
{
	unsigned cpu = (unsigned)(u64)argument;
	struct vcpu mine = {.vm = vm};
	u64 random = cpu + 1;

	fake_run_as(cpu);
	for (unsigned step = 0; step < 20000; step++) {
		u64 number, frame;
		struct tmem_handle key;
		u8 *page;

		random = random * 6364136223846793005 + 1442695040888963407;
		number = (random >> 33) % 20000 * THREADS + cpu; /* handles of its own */
		frame = (random >> 40) % (GUEST / PAGE_SIZE / THREADS) * THREADS + cpu;
		key = fake_engine_handle(ephemeral, number);
		switch (random >> 61) {
		case 0:
			(void)!memory_remove(vm, gfn(frame));
			break;
		case 1:
			if (memory_fault(&mine, gfn_to_gpa(gfn(frame)), ACCESS_READ) != DONE)
				return (void *)"a fault was not served";
			break;
		case 2:
		case 3:
			page = memory_page(vm, gfn(frame));
			if (!page)
				return (void *)"no page";
			if (tmem_get(client, &key, page) == 0 && !fake_engine_holds(page, number))
				return (void *)"a get gave another page's contents";
			break;
		default:
			page = memory_page(vm, gfn(frame));
			if (!page)
				return (void *)"no page";
			fake_engine_fill(page, number);
			(void)!tmem_put(client, &key, page);
		}
		epoch_quiescent(epoch_now());
		limbo_drain();
	}
	epoch_enter_idle();
	return NULL;
}

static void cpus_put_get_and_fault_at_once(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	start(MIB(48), THREADS);
	for (u64 i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *complaint;

		pthread_join(threads[i], &complaint);
		assert_null(complaint);
	}
	fake_run_as(0);
	assert_int_equal(audit_run(), 0);
	finish();
}

static void complaints_are_logged(void **state)
{
	(void)state;
	start(MIB(48), 1);
	fake_log_reset();
	tmem_port_complain("client %u", 7);
	assert_string_equal(fake_log_last, "audit: tmem: client 7");
	assert_int_equal(fake_log_errors, 1);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_fills_what_nobody_uses),
		cmocka_unit_test(guests_get_all_they_were_promised),
		cmocka_unit_test(persistent_pages_never_break_a_promise),
		cmocka_unit_test(thin_persistent_blocks_never_break_a_promise),
		cmocka_unit_test(every_cpu_can_compress),
		cmocka_unit_test(complaints_are_logged),
		cmocka_unit_test(a_page_freed_later_waits_for_every_cpu),
		cmocka_unit_test(a_page_freed_later_does_not_wait_for_an_idle_cpu),
		cmocka_unit_test(the_index_of_a_destroyed_pool_waits_for_its_readers),
		cmocka_unit_test(cpus_put_get_and_fault_at_once),
	};

	return cmocka_run_group_tests_name("tmem_port", tests, NULL, NULL);
}
