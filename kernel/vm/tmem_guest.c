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

__init static struct tmem_client *create_client(struct vm *vm)
{
	const struct guest_config *config = vm->config;
	struct tmem_shared_grant grants[MANIFEST_SHARED_MAX];
	struct tmem_client_config client = {
		.weight = config->tmem_share,
		.ephemeral_max = config->precache_max >> PAGE_SHIFT,
		.shared = grants,
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

	u8 modes;

	_Static_assert(MANIFEST_GROUPS_MAX <= TMEM_GROUPS, "all that there may be");
	_Static_assert(MANIFEST_SHARED_MAX <= TMEM_SHARED_MAX, "all that a guest may share");
	for (unsigned i = 0; i < config->shared_pool_count; i++)
		grants[i] = (struct tmem_shared_grant){
			.uuid = {config->shared_pools[i].uuid[0], config->shared_pools[i].uuid[1]},
			.weight = config->shared_pools[i].weight,
		};
	tmem_port_random(client.hash_keys, ARRAY_SIZE(client.hash_keys));
	modes = client.ephemeral_modes | client.persistent_modes;
	if (config->dedup_group[0] && !(modes & TMEM_MODE_DEDUP))
		log_warn("guest \"%s\": dedup_group \"%s\" has no effect: dedup is \"none\"",
			config->name, config->dedup_group);
	/* What compresses is also where pages are looked at. */
	if (modes && tmem_port_start_compression())
		return NULL;
	return tmem_client_create(tmem_store, &client);
}

__init int tmem_guest_create(struct vm *vm)
{
	if (!tmem_store || !vm->config->tmem)
		return 0;
	if (refaults_create(vm))
		return -SLUICE_ENOMEM;
	vm->tmem = create_client(vm);
	if (vm->tmem)
		return 0;
	refaults_destroy(vm);
	return -SLUICE_ENOMEM;
}

int tmem_guest_destroy(struct vm *vm)
{
	if (!vm->tmem)
		return 0;
	if (tmem_client_destroy(vm->tmem) == -SLUICE_EAGAIN)
		return -SLUICE_EAGAIN;
	vm->tmem = NULL;
	refaults_destroy(vm);
	return 0;
}
