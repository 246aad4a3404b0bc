/*
 * A workload that was recorded instead of generated: the pages that real applications touched
 * (tests/sim/record.py, which says how the file is made up). Whatever is wrong with the file ends
 * the program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/balloon/workload.h"

#define TICK_MS      100U /* tests/sim/record.py */
#define TICKS_MAX    100000U
#define ACCESSES_MAX 100000000U

static void give_up(const char *path)
{
	fprintf(stderr, "simulate: %s is no recording\n", path);
	exit(EXIT_FAILURE);
}

static void read_words(FILE *file, const char *path, u32 *words, size_t count)
{
	if (fread(words, sizeof(*words), count, file) != count)
		give_up(path);
}

/* The name without folders and its last part: what stands in the table. */
static char *name_of(const char *path)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char *name = sim_alloc(strlen(base) + 1, 1);

	strcpy(name, base);
	if (strrchr(name, '.'))
		*strrchr(name, '.') = '\0';
	return name;
}

void workload_read(struct sim_workload *workload, const char *path)
{
	FILE *file = fopen(path, "rb");
	u32 head[4], of_guest[3];

	if (!file) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	read_words(file, path, head, ARRAY_SIZE(head));
	if (head[0] == 0 || head[0] > 64 || head[1] == 0 || head[1] > TICKS_MAX)
		give_up(path);
	*workload = (struct sim_workload){
		.name = name_of(path),
		.guests = head[0],
		.ticks = head[1],
		.phase = head[2],
		.tick_ms = TICK_MS,
		.liar = -1,
		.memory = head[3],
		.guest = sim_alloc(head[0], sizeof(struct sim_guest)),
	};
	for (unsigned i = 0; i < workload->guests; i++) {
		struct sim_guest *guest = &workload->guest[i];

		read_words(file, path, of_guest, ARRAY_SIZE(of_guest));
		*guest = (struct sim_guest){
			.pages = of_guest[0],
			.anonymous = of_guest[1],
			.min = of_guest[2] / 4,
			.max = of_guest[2] * 3,
			.start = of_guest[2],
			.end = sim_alloc(workload->ticks, sizeof(u32)),
		};
		read_words(file, path, guest->end, workload->ticks);
		for (unsigned tick = 1; tick < workload->ticks; tick++)
			if (guest->end[tick] < guest->end[tick - 1])
				give_up(path);
		if (guest->end[workload->ticks - 1] > ACCESSES_MAX)
			give_up(path);
	}
	for (unsigned i = 0; i < workload->guests; i++) {
		struct sim_guest *guest = &workload->guest[i];
		u32 count = guest->end[workload->ticks - 1];

		guest->access = sim_alloc(count, sizeof(u32));
		read_words(file, path, guest->access, count);
		for (u32 n = 0; n < count; n++)
			if (guest->access[n] >= guest->pages)
				give_up(path);
	}
	fclose(file);
}
