/*
 * Between the tmem engine and the ghosts (kernel/vm/refaults.h).
 */
#include "kernel/vm/refaults.h"

#include <abi/errno.h>

#include "kernel/core/frame.h"
#include "kernel/vm/vm.h"
#include "tmem/port.h"

#define ENTRIES_MIN 64U

/* What ghosts_init() wants for the full rate. */
static u32 entries_for(u64 pages)
{
	u32 entries = ENTRIES_MIN;

	while (entries < 4 * pages / GHOSTS_ONE_IN)
		entries *= 2;
	return entries;
}

static unsigned order_for(u64 pages)
{
	return order_of(sizeof(struct refaults) + entries_for(pages) * sizeof(struct ghost));
}

__init int refaults_create(struct vm *vm)
{
	u64 pages = vm->config->memory_max >> PAGE_SHIFT;
	struct refaults *refaults = hypervisor_alloc(order_for(pages));

	if (!refaults)
		return -SLUICE_ENOMEM;
	ghosts_init(&refaults->ghosts, pages, refaults->table, entries_for(pages));
	vm->refaults = refaults;
	return 0;
}

void refaults_clear(struct vm *vm)
{
	vm->refaults->told = 0;
	ghosts_clear(&vm->refaults->ghosts);
}

void refaults_destroy(struct vm *vm)
{
	if (vm->refaults)
		hypervisor_free(vm->refaults, order_for(vm->config->memory_max >> PAGE_SHIFT));
	vm->refaults = NULL;
}

__init u32 refaults_threshold(const struct vm *vm)
{
	return vm->refaults ? vm->refaults->ghosts.threshold : 0;
}

void tmem_port_sampled(void *owner, enum tmem_event event, const struct tmem_sample *sample)
{
	const struct vm *vm = owner;
	const struct ghosts_event told = {
		.hash = sample->hash,
		.puts = sample->puts,
		.gets = sample->gets,
		.ram_pages = vm->memory.ram_pages - READ_ONCE(vm->memory.ballooned_pages),
	};

	vm->refaults->told++;
	switch (event) {
	case TMEM_EVENT_PUT:
		ghosts_put(&vm->refaults->ghosts, &told);
		break;
	case TMEM_EVENT_GET:
		ghosts_get(&vm->refaults->ghosts, &told);
		break;
	case TMEM_EVENT_FLUSH:
		ghosts_flush(&vm->refaults->ghosts, told.hash);
		break;
	}
}
