/*
 * What guests were promised beside compressed persistent pages: a pack keeps its frames when most
 * of its pages are flushed, so what may be admitted goes by the frames. The engine on the
 * hypervisor's frames and locks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

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

static void start(u64 ram)
{
	fake_engine_machine(ram, 1);
	assert_int_equal(tmem_port_start_compression(), 0);
	client = fake_engine_client(256, ~0UL, TMEM_MODE_COMPRESS);
	assert_int_equal(tmem_pool_create(client, TMEM_POOL_PERSISTENT, 0, 0), 0);
	vm = fake_engine_guest(&vcpu, GUEST, &fake_ept);
}

static void finish(void)
{
	fake_engine_end_guest(vm);
	fake_engine_end_client(client);
	fake_engine_end();
}

/* Puts a page of which @bytes cannot be compressed, and the rest is zeros. */
static int put(u64 number, u64 bytes)
{
	static u8 page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	struct tmem_handle key = fake_engine_handle(0, number);
	u64 random = number + 1;

	for (u64 i = 0; i < PAGE_SIZE; i++) {
		random = random * 6364136223846793005 + 1442695040888963407;
		page[i] = i < bytes ? (u8)(random >> 56) : 0;
	}
	return tmem_put(client, &key, page);
}

static void sparse_packs_never_break_a_promise(void **state)
{
	u64 kept = 0, more = 0;

	(void)state;
	start(MIB(96));
	while (put(kept, 2900) == 0)
		kept++;
	assert_true(frames_of_class(FRAME_TMEM) < kept);
	for (u64 number = 0; number < kept; number++) {
		struct tmem_handle key = fake_engine_handle(0, number);

		if (number % 10)
			assert_int_equal(tmem_flush_page(client, &key), 0);
	}
	while (put(kept + more, PAGE_SIZE) == 0)
		more++;
	assert_true(more > kept / 3);
	for (u64 at = 0; at < GUEST; at += PAGE_SIZE)
		assert_int_equal(memory_fault(&vcpu, gpa(at), ACCESS_WRITE), DONE);
	assert_int_equal(audit_run(), 0);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sparse_packs_never_break_a_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
