/*
 * From the manifest to the tmem engine's configuration (kernel/vm/tmem_guest.h).
 */
#include "kernel/vm/tmem_guest.h"

#include <abi/errno.h>

#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/vm/refaults.h"
#include "kernel/vm/tmem_port.h"
#include "kernel/vm/vm.h"
#include "tmem/port.h"

/* Of the pools of guests that say nothing else, TMEM_OF_* or'ed; set once at boot. */
static u8 zero_pages, dedup, compress;
static bool fifo;

__init static u8 choose(u8 guest, u8 machine)
{
	return guest == TMEM_OF_MACHINE ? machine : guest;
}

/* TMEM_MODE_*, or'ed, of the guest's pools of one kind: TMEM_OF_PRECACHE or TMEM_OF_PRESWAP. */
__init static u8 modes_of(const struct guest_config *config, u8 pools)
{
	return (choose(config->tmem_zero_pages, zero_pages) & pools ? TMEM_MODE_FILLED : 0) |
	       (choose(config->tmem_dedup, dedup) & pools ? TMEM_MODE_DEDUP : 0) |
	       (choose(config->tmem_compress, compress) & pools ? TMEM_MODE_COMPRESS : 0);
}

__init bool tmem_start(const struct tmem_machine_config *config)
{
	struct tmem_config store = {
		.max_pages = config->pool_max >> PAGE_SHIFT,
		.keys_only = config->keys_only,
	};

	if (!config->enabled) {
		log_info("tmem: off");
		return true;
	}
	fifo = config->fifo;
	zero_pages = config->zero_pages ? TMEM_OF_ALL : 0;
	dedup = config->dedup;
	compress = config->compress;
	if ((zero_pages | dedup | compress) && tmem_port_start_compression())
		return false;
	tmem_store = tmem_create(&store);
	if (!tmem_store)
		log_error("tmem: no memory for the store (%llu KiB free)",
			(unsigned long long)frames_free() * 4);
	return tmem_store != NULL;
}

/* What the guest's client is made from, in each of its lives; its keys are each life's own. */
__init static void configure(struct vm *vm)
{
	const struct guest_config *config = vm->config;

	_Static_assert(MANIFEST_GROUPS_MAX <= TMEM_GROUPS, "all that there may be");
	_Static_assert(MANIFEST_SHARED_MAX <= TMEM_SHARED_MAX, "all that a guest may share");
	vm->tmem_config = (struct tmem_client_config){
		.weight = config->tmem_share,
		.ephemeral_max = config->precache_max >> PAGE_SHIFT,
		.shared = vm->tmem_grants,
		.shared_count = config->shared_pool_count,
		.persistent_max = config->preswap_max == ~0UL ? ~0UL
							      : config->preswap_max >> PAGE_SHIFT,
		.guest_pages = fifo ? 0 : config->memory_max >> PAGE_SHIFT,
		.ephemeral_modes = modes_of(config, TMEM_OF_PRECACHE),
		.persistent_modes = modes_of(config, TMEM_OF_PRESWAP),
		.dedup_group = config->dedup_group_number,
		.sample_threshold = refaults_threshold(vm),
		.owner = vm,
	};
	for (unsigned i = 0; i < config->shared_pool_count; i++)
		vm->tmem_grants[i] = (struct tmem_shared_grant){
			.uuid = {config->shared_pools[i].uuid[0], config->shared_pools[i].uuid[1]},
			.weight = config->shared_pools[i].weight,
		};
}

/* What the modes of the guest's pools need of the machine. */
__init static int prepare_modes(const struct vm *vm)
{
	const struct guest_config *config = vm->config;
	u8 modes = vm->tmem_config.ephemeral_modes | vm->tmem_config.persistent_modes;

	if (config->dedup_group[0] && !(modes & TMEM_MODE_DEDUP))
		log_warn("guest \"%s\": dedup_group \"%s\" has no effect: dedup is \"none\"",
			config->name, config->dedup_group);
	/* What compresses is also where pages are looked at. */
	return modes ? tmem_port_start_compression() : 0;
}

static int create_client(struct vm *vm)
{
	struct tmem_client_config *config = &vm->tmem_config;

	tmem_port_random(config->hash_keys, ARRAY_SIZE(config->hash_keys));
	vm->tmem = tmem_client_create(tmem_store, config);
	return vm->tmem ? 0 : -SLUICE_ENOMEM;
}

__init int tmem_guest_create(struct vm *vm)
{
	if (!tmem_store || !vm->config->tmem)
		return 0;
	if (refaults_create(vm))
		return -SLUICE_ENOMEM;
	configure(vm);
	if (!prepare_modes(vm) && !create_client(vm))
		return 0;
	refaults_destroy(vm);
	return -SLUICE_ENOMEM;
}

int tmem_guest_create_again(struct vm *vm)
{
	if (!vm->refaults)
		return 0;
	refaults_clear(vm);
	return create_client(vm);
}

int tmem_guest_destroy(struct vm *vm)
{
	if (!vm->tmem)
		return 0;
	if (tmem_client_destroy(vm->tmem) == -SLUICE_EAGAIN)
		return -SLUICE_EAGAIN;
	vm->tmem = NULL;
	if (!vm->image)
		refaults_destroy(vm);
	return 0;
}
