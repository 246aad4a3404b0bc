/*
 * The idle guest: touches all of its RAM once, and from then on only the first part of it, again
 * and again. Two digits of its command line say for how many seconds, and how many eighths. It says
 * how many pages that were, and how many it left alone.
 */
#include "../common/guest.h"

enum step { ALL_RIGHT, NOT_SLUICE, BAD_LINE, NOT_KEPT };

#define PAGE 4096u

int main(const struct start_info *info)
{
	const char *line = (const char *)(uintptr_t)info->command_line;
	uint64_t first = ((uint64_t)(uintptr_t)guest_end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	uint64_t end = ram_end(info), until, hot;

	if (!guest_on_sluice())
		return NOT_SLUICE;
	if (!line || line[0] < '1' || line[0] > '9' || line[1] < '0' || line[1] > '8')
		return BAD_LINE;
	hot = (first + (end - first) / 8 * (uint64_t)(line[1] - '0')) & ~(uint64_t)(PAGE - 1);
	until = rdtsc() + (uint64_t)(line[0] - '0') * 1000 * ticks_per_ms();
	for (uint64_t at = first; at < end; at += PAGE)
		*(volatile uint64_t *)(uintptr_t)at = at;
	print_value("hot", (hot - first) / PAGE);
	print_value("cold", (end - hot) / PAGE);
	while (rdtsc() < until)
		for (uint64_t at = first; at < hot; at += PAGE)
			if (*(volatile uint64_t *)(uintptr_t)at != at)
				return NOT_KEPT;
	return ALL_RIGHT;
}
