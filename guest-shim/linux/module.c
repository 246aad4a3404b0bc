/*
 * sluice_tmem.ko: tmem for Linux guests of Sluice (docs/linux.md). Preswap: what the guest swaps
 * out goes to the hypervisor's pool, and to a disk only if that has no room. Precache: what a file
 * system drops from the page cache goes there, and is looked for there before it is read from its
 * disk. Each is a disk of its own, over the one that a parameter names.
 */
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include <linux/init.h>
#include <linux/module.h>
#include <linux/printk.h>

#include "cache_disk.h"
#include "hypercall.h"
#include "swap_disk.h"

static char *backing;
module_param(backing, charp, 0444);
MODULE_PARM_DESC(backing, "block device to swap to for what tmem does not take, such as /dev/vda");

static char *cache;
module_param(cache, charp, 0444);
MODULE_PARM_DESC(cache, "block device with a file system to be cached by tmem, such as /dev/vdb");

/* One of the two, with its pool. */
struct part {
	char **path;
	u32 pool_flags;
	int (*create)(const char *path, int pool);
	void (*destroy)(void);
	int pool;
};

static struct part parts[] __refdata = {
	{&backing, TMEM_POOL_PERSISTENT, swap_disk_create, swap_disk_destroy},
	{&cache, 0, cache_disk_create, cache_disk_destroy},
};

static bool is_wanted(const struct part *part)
{
	return *part->path && **part->path;
}

static void destroy_pool(int pool)
{
	long result = tmem_pool_destroy(pool);

	if (result)
		pr_err("TMEM_POOL_DESTROY of pool %d: %pe\n", pool, ERR_PTR(result));
}

static int __init create(struct part *part)
{
	long result = tmem_pool_new(part->pool_flags);
	int error;

	if (result < 0) {
		pr_err("TMEM_POOL_NEW: %pe\n", ERR_PTR(result));
		return result;
	}
	part->pool = result;
	error = part->create(*part->path, part->pool);
	if (error)
		destroy_pool(part->pool);
	return error;
}

/* The first @count of them that are wanted. */
static void destroy(unsigned int count)
{
	for (struct part *part = parts; part < parts + count; part++) {
		if (!is_wanted(part))
			continue;
		part->destroy();
		destroy_pool(part->pool);
	}
}

static int __init sluice_tmem_init(void)
{
	int error = hypercall_init();

	if (error)
		return error;
	if (!is_wanted(&parts[0]) && !is_wanted(&parts[1])) {
		pr_err("backing= or cache= must name a block device\n");
		return -EINVAL;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		error = is_wanted(&parts[i]) ? create(&parts[i]) : 0;
		if (error) {
			destroy(i);
			return error;
		}
	}
	return 0;
}

static void __exit sluice_tmem_exit(void)
{
	destroy(ARRAY_SIZE(parts));
}

module_init(sluice_tmem_init);
module_exit(sluice_tmem_exit);

MODULE_DESCRIPTION("Preswap and precache by the tmem pool of the Sluice hypervisor");
/* Sluice is under the MIT license, which Linux knows in this form; it opens GPL-only symbols. */
MODULE_LICENSE("Dual MIT/GPL");
