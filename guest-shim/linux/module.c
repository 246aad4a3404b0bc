/*
 * sluice_tmem.ko: preswap for Linux guests of Sluice. What the guest swaps out goes to the
 * hypervisor's pool, and to a disk only if that has no room (docs/linux.md).
 */
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include <linux/module.h>
#include <linux/printk.h>

#include "hypercall.h"
#include "swap_disk.h"

static char *backing;
module_param(backing, charp, 0444);
MODULE_PARM_DESC(backing, "block device for what tmem does not take, such as /dev/vda (required)");

static int pool;

static int __init sluice_tmem_init(void)
{
	long result;
	int error = hypercall_init();

	if (error)
		return error;
	if (!backing || !*backing) {
		pr_err("backing= must name a block device\n");
		return -EINVAL;
	}
	result = tmem_pool_new();
	if (result < 0) {
		pr_err("TMEM_POOL_NEW: %pe\n", ERR_PTR(result));
		return result;
	}
	pool = result;
	error = swap_disk_create(backing, pool);
	if (error) {
		result = tmem_pool_destroy(pool);
		if (result)
			pr_err("TMEM_POOL_DESTROY of pool %d: %pe\n", pool, ERR_PTR(result));
	}
	return error;
}

static void __exit sluice_tmem_exit(void)
{
	long result;

	swap_disk_destroy();
	result = tmem_pool_destroy(pool);
	if (result)
		pr_err("TMEM_POOL_DESTROY of pool %d: %pe\n", pool, ERR_PTR(result));
}

module_init(sluice_tmem_init);
module_exit(sluice_tmem_exit);

MODULE_DESCRIPTION("Swap to the tmem pool of the Sluice hypervisor");
/* Sluice is under the MIT license, which Linux knows in this form; it opens GPL-only symbols. */
MODULE_LICENSE("Dual MIT/GPL");
