/*
 * Entitlement: promises + what persistent pages hold + reserve must fit in what the hypervisor and
 * the RAM disks leave of RAM. A promise covers what the guest is entitled to (its memory_min) and,
 * at worst, the tables that describe all of its RAM; tables already made are therefore not counted
 * again as the hypervisor's. Ephemeral pages of tmem never count: they can be had back at any time.
 * What guests have above their entitlement does not count either: it is lent. Two counters, changed
 * atomically.
 */
#include "kernel/vm/commit.h"

#include <abi/errno.h>

#include "kernel/core/frame.h"
#include "kernel/core/log.h"
#include "kernel/vm/memory.h"
#include "kernel/vm/tmem_port.h"

static u64 promised; /* pages, tables included */
static s64 tables;   /* pages of gfn and nested tables, and of idle memory, in being */

/* @pages and the most that is needed to describe @ram_pages: 8 bytes each in the gfn table and in
 * the level-1 tables, a few upper tables, and a page for how much lies idle. */
static u64 with_tables(u64 pages, u64 ram_pages)
{
	const u64 per_table = PAGE_SIZE / sizeof(u64);

	return pages + 2 * (ram_pages / per_table + 1) + ram_pages / (per_table * per_table) + 4;
}

/* Pages that may be promised or kept persistent. */
static u64 available(void)
{
	s64 taken = (s64)(frames_of_class(FRAME_HYPERVISOR) + frames_of_class(FRAME_DEVICE) +
			    frames_reserve()) -
		    READ_ONCE(tables);

	return taken >= (s64)frames_total() ? 0 : frames_total() - (u64)taken;
}

bool commit_leaves_room(u64 persistent)
{
	return READ_ONCE(promised) + persistent <= available();
}

void commit_count_tables(s64 pages)
{
	__atomic_fetch_add(&tables, pages, __ATOMIC_RELAXED);
}

u64 memory_lendable(void)
{
	u64 room = available();
	u64 taken = READ_ONCE(promised) + (tmem_store ? tmem_persistent_held(tmem_store) : 0);

	return taken >= room ? 0 : room - taken;
}

int memory_commit(const char *name, u64 pages, u64 ram_pages)
{
	u64 wanted = with_tables(pages, ram_pages);
	u64 persistent = tmem_store ? tmem_persistent_held(tmem_store) : 0;

	__atomic_fetch_add(&promised, wanted, __ATOMIC_RELAXED);
	if (commit_leaves_room(persistent))
		return 0;
	__atomic_fetch_sub(&promised, wanted, __ATOMIC_RELAXED);
	log_error("guest \"%s\": does not fit: its minimum and tables are %lu KiB; of %lu KiB of "
		  "RAM the "
		  "hypervisor has %lu, RAM disks %lu, the reserve %lu, other guests %lu and "
		  "persistent tmem pages %lu",
		name, (unsigned long)wanted * 4, (unsigned long)frames_total() * 4,
		(unsigned long)(frames_of_class(FRAME_HYPERVISOR) - (u64)READ_ONCE(tables)) * 4,
		(unsigned long)frames_of_class(FRAME_DEVICE) * 4,
		(unsigned long)frames_reserve() * 4, (unsigned long)READ_ONCE(promised) * 4,
		(unsigned long)persistent * 4);
	return -SLUICE_ENOMEM;
}

void memory_uncommit(u64 pages, u64 ram_pages)
{
	__atomic_fetch_sub(&promised, with_tables(pages, ram_pages), __ATOMIC_RELAXED);
}

u64 memory_committed(void)
{
	return READ_ONCE(promised);
}
