/*
 * A pack's frames one by one, for reclaim, which wants the frames of a certain block (tmem/pack.h).
 */
#include <abi/errno.h>

#include "tmem/pack.h"
#include "tmem/pack_run.h"
#include "tmem/port.h"

static u32 frame_number(const struct run *run, u32 slot)
{
	u32 number = 0;

	while (run->frames[number] != slot)
		number++;
	return number;
}

/* Whether a fragment lies in frame @number, even in part. */
static bool is_in_frame(u32 place, u32 number)
{
	u32 first = place_first(place), last = first + place_granules(place) - 1;

	return place && first / FRAME_GRANULES <= number && last / FRAME_GRANULES >= number;
}

u32 pack_frame_owners(const struct pack *pack, u32 run_id, u32 slot, u32 owners[RUN_FRAGMENTS])
{
	const struct run *run = run_at(pack, run_id);
	u32 number = frame_number(run, slot), count = 0;

	for (u32 entry = 0; entry < RUN_FRAGMENTS; entry++)
		if (is_in_frame(run->places[entry], number))
			owners[count++] = run_fragment(pack, run, entry)->owner;
	return count;
}

int pack_detach_frame(struct pack *pack, u32 run_id, u32 slot)
{
	struct run *run = run_at(pack, run_id);
	u32 number = frame_number(run, slot);

	for (u32 entry = 0; entry < RUN_FRAGMENTS; entry++)
		if (is_in_frame(run->places[entry], number))
			return -SLUICE_EBUSY;
	/* What lies behind it comes one frame nearer, where it is. */
	for (u32 entry = 0; entry < RUN_FRAGMENTS; entry++)
		if (place_first(run->places[entry]) >= (number + 1) * FRAME_GRANULES)
			run->places[entry] = (u16)(run->places[entry] - (FRAME_GRANULES << 6));
	for (u32 i = number; i + 1 < run->frame_count; i++)
		run->frames[i] = run->frames[i + 1];
	run_unmark(pack, slot);
	run_update(pack, run_id, -(int)FRAME_GRANULES, 0, -1);
	if (!run->frame_count)
		run_end(pack, run_id);
	return 0;
}

void pack_replace_frame(struct pack *pack, u32 run_id, u32 slot, u32 to)
{
	struct run *run = run_at(pack, run_id);

	tmem_port_copy_away(frame_at(pack->tmem, to), frame_at(pack->tmem, slot));
	run->frames[frame_number(run, slot)] = to;
	run_mark(pack, to, run_id);
	run_unmark(pack, slot);
}
