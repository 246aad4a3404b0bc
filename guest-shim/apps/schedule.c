/*
 * Turns in virtual time.
 */
#include "schedule.h"

#include "guest-shim/shim.h"
#include "options.h"

void schedule_init(struct schedule *schedule, int argc, char **argv)
{
	schedule->applications = (uint32_t)option(argc, argv, "of", 3);
	schedule->turns = (uint32_t)option(argc, argv, "rounds", 2) * schedule->applications;
	schedule->mine = (uint32_t)option(argc, argv, "turn", 0);
	schedule->turn_ns = option(argc, argv, "turn_ms", 0) * 1000000;
	schedule->start_ns = shim_time_ns();
	schedule->next = 0;
}

bool schedule_next(struct schedule *schedule, bool *hungry)
{
	uint32_t turn = schedule->next++;

	if (turn >= schedule->turns)
		return false;
	if (schedule->turn_ns)
		shim_sleep_until(schedule->start_ns + turn * schedule->turn_ns);
	*hungry = turn % schedule->applications == schedule->mine;
	return true;
}
