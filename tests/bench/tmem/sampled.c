/*
 * What stands behind the sample while it is measured: the hypervisor's kernel/vm/refaults.c and
 * balloon/ghosts.c, for one guest that has RAM and nothing else.
 */
#include <stdlib.h>

#include "kernel/core/frame.h"
#include "kernel/vm/refaults.h"
#include "kernel/vm/vm.h"
#include "tests/bench/tmem/host.h"

static struct guest_config config;
static struct vm vm;

unsigned order_of(u64 bytes)
{
	unsigned order = 0;

	while (PAGE_SIZE << order < bytes)
		order++;
	return order;
}

void *hypervisor_alloc(unsigned order)
{
	return calloc(1, PAGE_SIZE << order);
}

void hypervisor_free(void *page, unsigned order)
{
	(void)order;
	free(page);
}

void *bench_guest_create(u64 guest_pages)
{
	config.memory_max = guest_pages * PAGE_SIZE;
	vm.config = &config;
	vm.memory.ram_pages = guest_pages;
	return refaults_create(&vm) == 0 ? &vm : NULL;
}

void bench_guest_destroy(void *guest)
{
	refaults_destroy(guest);
}

u32 bench_guest_threshold(const void *guest)
{
	return refaults_threshold(guest);
}

u64 bench_guest_told(const void *guest)
{
	const struct vm *asked = guest;

	return asked->refaults->told;
}
