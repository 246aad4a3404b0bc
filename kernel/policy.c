/*
 * See policy.h. Of the policies there are two that need no plan: "static" leaves targets where they
 * are; "alternate" moves all memory to and fro between guests with even and odd slots, for tests of
 * the mechanism. One rule holds under each: a guest that lacks what it is entitled to gets it from
 * those who have more than that.
 */
#include "kernel/policy.h"

#include "kernel/virtio/balloon.h"

/* Ticks of "alternate" in each direction. */
#define ALTERNATE_TICKS 20u

/* What a guest gives up a tick while another lacks what it was promised: this part of what it has
 * above its minimum, and at least so many pages. */
#define RELIEF_PART  8u
#define RELIEF_PAGES BLOCK_PAGES
#define RELIEF_TICKS 10u

static const struct balloon_config *config;
static u64 ticks, asked_at;

void policy_start(const struct balloon_config *balloon)
{
	config = balloon;
	memory_set_wait(config->wait_memory_s * 1000000UL);
}

/* What running guests may have above their minima already. */
static u64 lent_pages(void)
{
	struct balloon_sample sample;
	u64 lent = 0;
	struct vm *vm;

	for_each_vm (vm)
		if (vm->started && !vm_is_stopped(vm) && balloon_sample(vm, &sample))
			lent += sample.target_pages - MIN(sample.target_pages, vm->entitled_pages);
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
	balloon_set_target(vm, start);
}

static void alternate(void)
{
	bool even = ticks / ALTERNATE_TICKS % 2 == 0;
	struct vm *vm;

	if (ticks % ALTERNATE_TICKS)
		return;
	for_each_vm (vm)
		if (!vm_is_stopped(vm))
			balloon_set_target(
				vm, (vm->id % 2 == 0) == even ? vm->memory.ram_pages : 0);
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
 * is about to give what he was asked for, another one is asked only now and then: he may be slow.
 */
static void relieve(void)
{
	struct vm *vm, *richest = NULL;
	struct balloon_sample sample;
	u64 most = 0, size = 0;
	bool pending = false;

	for_each_vm (vm) {
		u64 has;

		if (vm_is_stopped(vm) || !balloon_sample(vm, &sample) || !sample.responsive)
			continue;
		if (sample.size_pages > sample.target_pages) {
			pending = true;
			continue;
		}
		has = sample.size_pages;
		if (has > vm->entitled_pages && has - vm->entitled_pages > most) {
			most = has - vm->entitled_pages;
			size = has;
			richest = vm;
		}
	}
	if (!richest || (pending && ticks - asked_at < RELIEF_TICKS))
		return;
	asked_at = ticks;
	balloon_set_target(richest, size - MIN(most, MAX(most / RELIEF_PART, RELIEF_PAGES)));
}

u64 policy_tick(void)
{
	struct vm *vm;

	for_each_vm (vm) {
		balloon_device_tick(vm);
		memory_collapse_tick(vm);
	}
	if (config->policy == BALLOON_POLICY_ALTERNATE)
		alternate();
	if (somebody_lacks_what_is_his())
		relieve();
	ticks++;
	return config->tick_ms * 1000UL;
}
