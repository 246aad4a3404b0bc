/*
 * The touching guest: writes every page of its RAM, which must read as zero first, and looks at all
 * of them again. Two digits of its command line say how many seconds it waits before it begins, and
 * how many it holds everything before the second look.
 */
#include "../common/guest.h"

enum step { ALL_RIGHT, NOT_SLUICE, NOT_ZERO, NOT_KEPT };

#define PAGE 4096u

/* As many seconds as digit @at of the command line says; none without it. */
static void spin(const char *line, unsigned at)
{
	uint64_t until = rdtsc();

	if (line && line[0] && line[1])
		until += (uint64_t)(line[at] - '0') * 1000 * ticks_per_ms();
	/* Mostly work that no emulator takes long for, as it does for RDTSC and PAUSE. */
	while (rdtsc() < until)
		for (unsigned i = 0; i < 10000; i++)
			__asm__ volatile("");
}

/* Behind the image and what the loader put low: the common start maps the first GiB. */
static uint64_t first_page(void)
{
	uint64_t first = ((uint64_t)(uintptr_t)guest_end + PAGE - 1) & ~(uint64_t)(PAGE - 1);

	return first < (2ull << 20) ? 2ull << 20 : first;
}

int main(const struct start_info *info)
{
	const char *line = (const char *)(uintptr_t)info->command_line;
	uint64_t first = first_page(), end = ram_end(info);

	if (!guest_on_sluice())
		return NOT_SLUICE;
	spin(line, 0);
	for (uint64_t at = first; at < end; at += PAGE) {
		volatile uint64_t *page = (volatile uint64_t *)(uintptr_t)at;

		if (page[0] != 0 || page[511] != 0)
			return NOT_ZERO;
		page[0] = at;
		page[511] = ~at;
	}
	print("touch guest: has all\n");
	spin(line, 1);
	for (uint64_t at = first; at < end; at += PAGE) {
		volatile uint64_t *page = (volatile uint64_t *)(uintptr_t)at;

		if (page[0] != at || page[511] != ~at)
			return NOT_KEPT;
	}
	print("touch guest: done\n");
	return ALL_RIGHT;
}
