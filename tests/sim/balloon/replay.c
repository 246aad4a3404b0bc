/*
 * A division of memory played page by page (tests/sim/balloon/replay.h).
 */
#include "tests/sim/balloon/replay.h"

#include <stdlib.h>

#include "tests/sim/balloon/machine.h"

u32 replay_ram(
	const struct balloon_parameters *pace, const struct sim_guest *guest, u32 ram, u32 hold)
{
	u32 wanted = MIN(hold - hold / 16, guest->max);
	u32 least = ram - (u32)((u64)ram * pace->down_permille / 1000);
	u32 most = ram + (u32)((u64)guest->max * pace->up_permille / 1000);

	return MIN(MIN(MAX(MAX(wanted, least), guest->min), most), hold);
}

enum { DROPPED, HELD };

static void make_room(struct sim_page *page, struct sim_list *list, u32 most)
{
	while (list->count > most) {
		page[list->oldest].place = DROPPED;
		list_remove(page, list, list->oldest);
	}
}

/* One guest, all of whose holding is one LRU list. */
static u64 replay_list(
	const struct sim_workload *workload, const struct sim_guest *guest, const u16 *size)
{
	struct sim_page *page = sim_alloc(guest->pages, sizeof(*page));
	struct sim_list list;
	u64 reads = 0;

	list_init(&list);
	for (u32 tick = 0, i = 0; tick < workload->ticks; tick++) {
		u32 limit = MAX(size[tick], 1U) * SIM_MIB;

		make_room(page, &list, limit);
		for (; i < guest->end[tick]; i++) {
			u32 n = guest->access[i];

			if (page[n].place == HELD) {
				list_remove(page, &list, n);
			} else {
				make_room(page, &list, limit - 1);
				reads += page[n].seen;
			}
			page[n].place = HELD;
			page[n].seen = true;
			list_push(page, &list, n);
		}
	}
	free(page);
	return reads;
}

/* All guests in the machine that policies are played on. */
static u64 replay_machine(const struct sim_workload *workload, const u16 *path, bool fifo)
{
	struct balloon_plan *plan = sim_alloc(1, sizeof(*plan));
	struct balloon_parameters pace;
	struct sim_machine machine;
	u64 reads;

	balloon_defaults(&pace, workload->memory, workload->tick_ms);
	machine_make(&machine, workload, fifo);
	plan->count = workload->guests;
	for (unsigned tick = 0; tick < workload->ticks; tick++) {
		for (unsigned i = 0; i < workload->guests; i++) {
			u32 hold = path[i * workload->ticks + tick] * SIM_MIB;
			u32 ram = replay_ram(&pace, &workload->guest[i], machine.vm[i].limit, hold);

			plan->target[i].ram = ram;
			plan->target[i].share = hold - ram;
		}
		machine_apply(&machine, plan);
		machine_tick(&machine);
	}
	reads = machine_reads(&machine);
	machine_free(&machine);
	free(plan);
	return reads;
}

u64 replay(const struct sim_workload *workload, const u16 *path, bool fifo)
{
	u64 lists = 0;

	for (unsigned i = 0; i < workload->guests; i++)
		lists += replay_list(workload, &workload->guest[i], &path[i * workload->ticks]);
	return MIN(lists, replay_machine(workload, path, fifo));
}
