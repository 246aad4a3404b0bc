/*
 * See policy.h. The policies are the balloon engine's (policy_plan.c), but for "alternate", which
 * moves all memory to and fro between guests with even and odd slots, for tests of the mechanism.
 * One rule holds under each and comes before it: a guest that lacks what it is entitled to gets it
 * from those who have more than that.
 */
#include "kernel/policy.h"

#include "arch/x86/arch.h"
#include "kernel/policy_plan.h"
#include "kernel/virtio/balloon.h"
#include "kernel/vm/balloon_control.h"
#include "kernel/vm/memory_idle.h"

/* Ticks of "alternate" in each direction. */
#define ALTERNATE_TICKS 20u

/* What a guest gives up a tick while another lacks what it was promised: this part of what it has
 * above its minimum, and at least so many pages. */
#define RELIEF_PART  8u
#define RELIEF_PAGES BLOCK_PAGES
#define RELIEF_TICKS 10u

static const struct balloon_config *config;
static u64 ticks, asked_at;
static struct policy_cost cost;

/* The numbers of the manifest, of the ABI and of the engine are the same. */
_Static_assert(BALLOON_POLICY_REFAULT == BALLOON_CONTROL_REFAULT &&
		       BALLOON_POLICY_STATIC == BALLOON_CONTROL_STATIC &&
		       BALLOON_POLICY_SELFBALLOON == BALLOON_CONTROL_SELFBALLOON &&
		       BALLOON_POLICY_SHARES == BALLOON_CONTROL_SHARES &&
		       BALLOON_POLICY_ALTERNATE == BALLOON_CONTROL_ALTERNATE,
	"a policy has one number");

__init bool policy_start(const struct balloon_config *balloon, bool has_pool)
{
	config = balloon;
	memory_set_wait(config->wait_memory_s * 1000000UL);
	if (config->memory)
		memory_set_together(config->memory >> PAGE_SHIFT);
	balloon_control_set(config->policy);
	if (!policy_plan_start(config, has_pool))
		return false;
	policy_plan_choose(config->policy);
	return true;
}

static u64 beyond(u64 pages, u64 limit)
{
	return pages - MIN(pages, limit);
}

/* What running guests have above their minima already, or may have. */
static u64 lent_pages(void)
{
	struct balloon_status status;
	u64 lent = 0;
	struct vm *vm;

	for_each_vm (vm)
		if (vm->started && !vm_is_stopped(vm) && balloon_status(vm, &status))
			lent += beyond(MAX(status.target_pages, status.populated_pages),
				vm->entitled_pages);
	return lent;
}

void policy_guest_starts(struct vm *vm)
{
	u64 lendable = memory_lendable(), lent = lent_pages();
	u64 above = lendable > lent ? lendable - lent : 0;
	u64 start = vm->config->memory_start >> PAGE_SHIFT;

	if (!start)
		start = MIN(vm->entitled_pages + above, vm->memory.ram_pages);
	if (start < vm->memory.ram_pages)
		start &= ~(u64)(BLOCK_PAGES - 1);
	balloon_set_target(vm, start, "its size at first");
}

static void alternate(void)
{
	bool even = ticks / ALTERNATE_TICKS % 2 == 0;
	struct vm *vm;

	if (ticks % ALTERNATE_TICKS)
		return;
	for_each_vm (vm)
		if (!vm_is_stopped(vm))
			balloon_set_target(vm, (vm->id % 2 == 0) == even ? vm->memory.ram_pages : 0,
				"to and fro");
}

static bool somebody_lacks_what_is_his(void)
{
	struct vm *vm;

	for_each_vm (vm)
		if (!vm_is_stopped(vm) && memory_is_short(vm) && memory_is_entitled(vm))
			return true;
	return false;
}

/* Asks the one who has most above his minimum, and listens, for a part of it. As long as somebody
 * is about to give what he was asked for, another one is asked only now and then, since he may be
 * slow; and he himself for more when there is nobody else.
 */
static void relieve(void)
{
	struct vm *vm,
		*richest[2] = {NULL}; /* of those who have done what they were asked; others */
	struct balloon_status status;
	u64 most[2] = {0};
	bool pending = false, asks_again;

	for_each_vm (vm) {
		u64 has;
		bool late;

		if (vm_is_stopped(vm) || !balloon_status(vm, &status) || !status.responsive)
			continue;
		late = status.size_pages > status.target_pages;
		pending |= late;
		has = MIN(status.size_pages, status.target_pages);
		if (has > vm->entitled_pages && has - vm->entitled_pages > most[late]) {
			most[late] = has - vm->entitled_pages;
			richest[late] = vm;
		}
	}
	asks_again = !richest[0];
	vm = richest[asks_again];
	if (!vm || (pending && ticks - asked_at < RELIEF_TICKS))
		return;
	asked_at = ticks;
	balloon_set_target(vm,
		vm->entitled_pages + most[asks_again] -
			MIN(most[asks_again], MAX(most[asks_again] / RELIEF_PART, RELIEF_PAGES)),
		"another lacks what it is entitled to");
}

static void tick(void)
{
	struct vm *vm;

	for_each_vm (vm) {
		balloon_device_tick(vm);
		memory_collapse_tick(vm);
		memory_idle_tick(vm);
	}
	policy_plan_choose(balloon_control_policy());
	if (somebody_lacks_what_is_his()) {
		relieve();
		policy_plan_watch();
	} else if (balloon_control_policy() == BALLOON_POLICY_ALTERNATE) {
		alternate();
		policy_plan_watch();
	} else {
		policy_plan_tick();
	}
	pool_tick();
	ticks++;
}

u64 policy_tick(void)
{
	u64 start = arch_tsc(), spent;

	tick();
	spent = arch_tsc() - start;
	cost.ticks++;
	cost.tsc_ticks += spent;
	cost.longest = MAX(cost.longest, spent);
	return config->tick_ms * 1000UL;
}

struct policy_cost policy_cost(void)
{
	return cost;
}
