/*
 * See engine.h.
 */
#include "fake/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <abi/errno.h>

#include "fake/vm.h"
#include "kernel/core/frame.h"
#include "kernel/vm/audit.h"
#include "tmem/port.h"

void fake_engine_start(u64 max_pages)
{
	const struct tmem_config config = {.max_pages = max_pages};

	tmem_store = tmem_create(&config);
	assert_non_null(tmem_store);
}

void fake_engine_machine(u64 ram, unsigned cpus)
{
	fake_core_start(ram, cpus);
	fake_all_pass();
	fake_engine_start(0);
}

struct tmem_client *fake_engine_client(u32 weight, u64 persistent_max, u8 modes)
{
	struct tmem_client_config config = {
		.weight = weight, .persistent_max = persistent_max, .persistent_modes = modes};
	struct tmem_client *client;

	tmem_port_random(config.hash_keys, ARRAY_SIZE(config.hash_keys));
	client = tmem_client_create(tmem_store, &config);
	assert_non_null(client);
	return client;
}

void fake_engine_end_client(struct tmem_client *client)
{
	int left;

	do
		left = tmem_client_destroy(client);
	while (left == -SLUICE_EAGAIN);
	assert_int_equal(left, 0);
}

struct vm *fake_engine_guest(struct vcpu *vcpu, u64 bytes, const struct nested_layout *layout)
{
	vcpu->vm = fake_vm(0);
	assert_int_equal(memory_commit("guest", bytes >> PAGE_SHIFT, bytes >> PAGE_SHIFT), 0);
	assert_int_equal(memory_create(vcpu->vm, bytes, layout), 0);
	return vcpu->vm;
}

void fake_engine_end_guest(struct vm *vm)
{
	u64 pages = vm->memory.ram_pages;

	memory_destroy(vm);
	memory_uncommit(pages, pages);
	fake_limbo_empty();
}

void fake_engine_fill(void *page, u64 seed)
{
	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		((u64 *)page)[i] = seed * 0x9e3779b97f4a7c15UL + i;
}

bool fake_engine_holds(const void *page, u64 seed)
{
	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		if (((const u64 *)page)[i] != seed * 0x9e3779b97f4a7c15UL + i)
			return false;
	return true;
}

struct tmem_handle fake_engine_handle(s32 pool, u64 number)
{
	return (struct tmem_handle){
		.object = {number / 1000 + 1, 0, 0}, .index = (u32)(number % 1000), .pool = pool};
}

void fake_engine_end(void)
{
	assert_int_equal(tmem_persistent_held(tmem_store), 0);
	tmem_destroy(tmem_store);
	tmem_store = NULL;
	assert_int_equal(frames_of_class(FRAME_TMEM), 0);
	assert_int_equal(audit_run(), 0);
}
