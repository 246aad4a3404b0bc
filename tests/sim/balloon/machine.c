/*
 * Guests and pool, page by page. Two simplifications: an anonymous page that falls out of the pool
 * is written to the swap disk by its guest then, where the hypervisor would have refused the put;
 * and a balloon reaches its target between two ticks, since a plan's steps are small.
 */
#include <stdlib.h>
#include <string.h>

#include "balloon/ghosts.h"
#include "tests/sim/balloon/machine.h"

#define CHUNK      16U /* accesses of one guest before the next one's turn */
#define IDLE_TICKS 10U

enum place { ON_DISK, IN_RAM, IN_POOL };

static u64 hash_of(const struct sim_vm *vm, u32 n)
{
	struct sim_random random = {vm->key + n};

	return sim_random(&random);
}

/* As a tmem engine does: counts, and tells of the sampled ones. */
static void note_put(struct sim_vm *vm, u32 n)
{
	struct ghosts_event event = {hash_of(vm, n), ++vm->all_puts, vm->all_gets, vm->limit};

	if (ghosts_sampled(vm->ghosts, event.hash))
		ghosts_put(vm->ghosts, &event);
}

static void note_get(struct sim_vm *vm, u32 n)
{
	struct ghosts_event event = {hash_of(vm, n), vm->all_puts, ++vm->all_gets, vm->limit};

	if (ghosts_sampled(vm->ghosts, event.hash))
		ghosts_get(vm->ghosts, &event);
}

static void pool_drop_oldest(struct sim_machine *machine, struct sim_vm *vm)
{
	u32 n = store_evict(&vm->store, vm->page);

	vm->page[n].place = ON_DISK;
	machine->pool_used--;
	vm->swap_out += n < vm->guest->anonymous;
}

static void pool_make_room(struct sim_machine *machine, u64 size)
{
	while (machine->pool_used > size) {
		struct sim_vm *victim = NULL;
		bool victim_idle = false;

		for (unsigned i = 0; i < machine->workload->guests; i++) {
			struct sim_vm *vm = &machine->vm[i];
			bool idle = machine->tick - vm->used_tick > IDLE_TICKS;

			if (store_count(&vm->store) == 0 || (victim_idle && !idle))
				continue;
			if (!victim || (idle && !victim_idle) ||
				store_count(&vm->store) * (victim->share + 1) >
					store_count(&victim->store) * (vm->share + 1)) {
				victim = vm;
				victim_idle = idle;
			}
		}
		pool_drop_oldest(machine, victim);
	}
}

static void evict(struct sim_machine *machine, struct sim_vm *vm)
{
	u32 n = vm->ram.oldest;

	list_remove(vm->page, &vm->ram, n);
	vm->anonymous -= n < vm->guest->anonymous;
	vm->puts++;
	vm->used_tick = machine->tick;
	note_put(vm, n);
	vm->page[n].place = IN_POOL;
	store_put(&vm->store, vm->page, n);
	machine->pool_used++;
	pool_make_room(machine, machine->pool_size);
}

static void bring_in(struct sim_machine *machine, struct sim_vm *vm, u32 n)
{
	struct sim_page *page = &vm->page[n];

	vm->gets++;
	vm->used_tick = machine->tick;
	note_get(vm, n);
	if (page->place == IN_POOL) {
		store_hit(&vm->store, vm->page, n);
		machine->pool_used--;
		vm->hits++;
	} else {
		store_miss(&vm->store, n);
		vm->tick_reads++;
		vm->major++;
		vm->swap_in += page->seen && n < vm->guest->anonymous;
		vm->reads += page->seen;
		vm->tick_refaults += page->seen;
		vm->first += !page->seen;
		page->seen = 1;
	}
}

/* Of an age of one tick or more: the logarithm, as struct balloon_sample has it. */
static u32 class_of(u32 age)
{
	u32 bits = 0;

	while (bits < BALLOON_AGES - 1 && age >> (bits + 1))
		bits++;
	return bits;
}

static void touch(struct sim_machine *machine, struct sim_vm *vm, u32 n)
{
	struct sim_page *page = &vm->page[n];

	if (page->place == IN_RAM) {
		if (page->tick < machine->tick)
			vm->touched[class_of(machine->tick - page->tick)]++;
		page->tick = machine->tick;
		list_remove(vm->page, &vm->ram, n);
		list_push(vm->page, &vm->ram, n);
		return;
	}
	page->tick = machine->tick;
	bring_in(machine, vm, n);
	while (vm->ram.count >= vm->limit)
		evict(machine, vm);
	page->place = IN_RAM;
	list_push(vm->page, &vm->ram, n);
	vm->anonymous += n < vm->guest->anonymous;
}

void machine_make(struct sim_machine *machine, const struct sim_workload *workload, bool fifo)
{
	*machine = (struct sim_machine){
		.workload = workload,
		.vm = sim_alloc(workload->guests, sizeof(struct sim_vm)),
		.pool_size = workload->memory,
	};
	for (unsigned i = 0; i < workload->guests; i++) {
		const struct sim_guest *guest = &workload->guest[i];

		machine->vm[i] = (struct sim_vm){
			.guest = guest,
			.page = sim_alloc(guest->pages, sizeof(struct sim_page)),
			.limit = guest->start,
			.share = 1,
			.key = (u64)i << 40,
			.ghosts = sim_alloc(1, sizeof(struct ghosts)),
			.table = sim_alloc(SIM_GHOST_ENTRIES, sizeof(struct ghost)),
		};
		list_init(&machine->vm[i].ram);
		store_init(&machine->vm[i].store, guest->max, machine->vm[i].key, fifo);
		ghosts_init(
			machine->vm[i].ghosts, guest->max, machine->vm[i].table, SIM_GHOST_ENTRIES);
		machine->pool_size -= guest->start;
	}
}

void machine_free(struct sim_machine *machine)
{
	for (unsigned i = 0; i < machine->workload->guests; i++) {
		store_destroy(&machine->vm[i].store);
		free(machine->vm[i].page);
		free(machine->vm[i].ghosts);
		free(machine->vm[i].table);
	}
	free(machine->vm);
}

static u32 accesses_left(const struct sim_vm *vm, u32 tick, u32 done)
{
	u32 from = tick ? vm->guest->end[tick - 1] : 0;

	return vm->guest->end[tick] - from - done;
}

void machine_tick(struct sim_machine *machine)
{
	bool more = true;

	for (unsigned i = 0; i < machine->workload->guests; i++) {
		struct sim_vm *vm = &machine->vm[i];

		vm->puts = vm->gets = vm->hits = vm->tick_reads = vm->tick_refaults = vm->swap_in =
			vm->swap_out = vm->major = 0;
		memset(vm->touched, 0, sizeof(vm->touched));
	}
	for (u32 done = 0; more; done += CHUNK) {
		more = false;
		for (unsigned i = 0; i < machine->workload->guests; i++) {
			struct sim_vm *vm = &machine->vm[i];
			u32 from = machine->tick ? vm->guest->end[machine->tick - 1] : 0;
			u32 all = accesses_left(vm, machine->tick, 0);

			for (u32 k = done; k < all && k < done + CHUNK; k++)
				touch(machine, vm, vm->guest->access[from + k]);
			more |= done + CHUNK < all;
		}
	}
	machine->tick++;
}

static void note_idle(
	const struct sim_machine *machine, const struct sim_vm *vm, struct balloon_sample *sample)
{
	for (u32 n = vm->ram.newest; n != SIM_NONE; n = vm->page[n].older) {
		u32 age = machine->tick - 1 - vm->page[n].tick;

		if (age != 0)
			sample->idle[class_of(age)]++;
	}
	memcpy(sample->touched, vm->touched, sizeof(vm->touched));
	/* A page that was never used was never touched. */
	sample->idle[BALLOON_AGES - 1] += vm->limit - vm->ram.count;
	sample->idle_known = true;
}

/* What a liar says and does: it has nothing to spare, it faults and swaps without end, and it asks
 * again and again for what it put. Either for all, without ever reading its disk; or only for what
 * is in the pool (an echo), so that all its gets are hits and its pages the youngest there. */
static void lie(const struct sim_machine *machine, struct sim_vm *vm, struct balloon_sample *sample)
{
	bool echo = machine->workload->echo;

	sample->free = sample->available = sample->caches = 0;
	sample->major_faults = sample->swap_in = sample->swap_out = ~1UL;
	for (u32 n = 0; n < vm->guest->pages; n++) {
		if (vm->page[n].place == IN_RAM || (echo && vm->page[n].place != IN_POOL))
			continue;
		note_get(vm, n);
		note_put(vm, n);
		sample->tmem[BALLOON_EPHEMERAL].gets++;
		sample->tmem[BALLOON_EPHEMERAL].puts++;
		sample->tmem[BALLOON_EPHEMERAL].hits += echo;
		if (echo) {
			vm->used_tick = machine->tick;
			store_hit(&vm->store, vm->page, n);
			store_put(&vm->store, vm->page, n);
		}
	}
}

void machine_sample(struct sim_machine *machine, struct balloon_sample *samples, bool accessed_bits)
{
	for (unsigned i = 0; i < machine->workload->guests; i++) {
		struct sim_vm *vm = &machine->vm[i];
		struct balloon_sample *sample = &samples[i];

		*sample = (struct balloon_sample){
			.actual = vm->limit,
			.untouched = vm->limit - vm->ram.count,
			.min = vm->guest->min,
			.max = vm->guest->max,
			.pool = store_count(&vm->store),
			.tmem = {{vm->puts, vm->gets, vm->hits}},
			.disk_reads = vm->tick_reads,
			.refaults = vm->tick_refaults,
			.responsive = true,
			.ghosts = vm->ghosts,
			.free = vm->limit - vm->ram.count,
			.caches = vm->ram.count - vm->anonymous,
			.available = vm->limit - vm->anonymous,
			.major_faults = vm->major,
			.swap_in = vm->swap_in,
			.swap_out = vm->swap_out,
		};
		if (accessed_bits)
			note_idle(machine, vm, sample);
		if ((int)i == machine->workload->liar && !machine->workload->honest)
			lie(machine, vm, sample);
	}
}

void machine_apply(struct sim_machine *machine, const struct balloon_plan *plan)
{
	/* In this order, as the plan promises: RAM that shrinks becomes pool before others grow. */
	machine->pool_size = machine->workload->memory;
	for (unsigned i = 0; i < plan->count; i++) {
		machine->vm[i].share = plan->target[i].share;
		machine->vm[i].limit = (u32)plan->target[i].ram;
		machine->pool_size -= plan->target[i].ram;
	}
	for (unsigned i = 0; i < plan->count; i++)
		while (machine->vm[i].ram.count > machine->vm[i].limit)
			evict(machine, &machine->vm[i]);
	pool_make_room(machine, machine->pool_size);
}

u64 machine_reads(const struct sim_machine *machine)
{
	u64 reads = 0;

	for (unsigned i = 0; i < machine->workload->guests; i++)
		reads += machine->vm[i].reads;
	return reads;
}
