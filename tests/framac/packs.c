/*
 * The arithmetic of packs (tmem/pack_run.c): for runs of two frames with three fragments of many
 * sizes, in any order of their entries and with many gaps, room for another fragment is found
 * within the frames, what is moved stays within them and goes downwards, and no count wraps. The
 * copies are replaced by what they demand.
 */
#include "tests/framac/port.h"

#include "tmem/pack_run.h"

#define FRAMES   2U
#define CAPACITY (FRAMES * FRAME_GRANULES)

/*@ requires to_within: to + granules <= 128;
    requires from_within: from + granules <= 128;
    requires downwards: to < from;
    assigns \nothing; */
void run_copy(const struct pack *pack, const struct run *to_run, u32 to, const struct run *from_run,
	u32 from, u32 granules);

#include SOURCE

static struct pack pack;

/* Fragments of these sizes, each after a gap; the granules in use, or 0 if they have no room. */
static u32 place_all(struct run *run, const u32 sizes[3], const u32 gaps[3], u32 order)
{
	static const u8 entries[2][3] = {{0, 11, 29}, {29, 5, 0}};
	u32 at = 0, used = 0;

	for (u32 i = 0; i < 3; i++) {
		at += gaps[i];
		if (at + sizes[i] > CAPACITY)
			return 0;
		run->places[entries[order][i]] = (u16)(at << 6 | sizes[i]);
		at += sizes[i];
		used += sizes[i];
	}
	return used;
}

static void check_room(const u32 sizes[3], const u32 gaps[3], u32 order, u32 granules)
{
	struct run run = {.frame_count = FRAMES, .count = 3};
	u32 used = place_all(&run, sizes, gaps, order);
	u32 first;

	if (!used || used + granules > CAPACITY)
		return;
	run.free = (u16)(CAPACITY - used);
	first = make_room(&pack, &run, granules);
	/*@ assert room: first + granules <= 128; */
	for (u32 entry = 0; entry < RUN_FRAGMENTS; entry++) {
		u32 begin = place_first(run.places[entry]);
		u32 end = begin + place_granules(run.places[entry]);

		/*@ assert apart: end <= first || begin >= first + granules || begin == end; */
		/*@ assert inside: end <= 128; */
		(void)end;
	}
}

/* All that a fragment's length and a run's free granules may be, at once. */
static u32 check_ranges(void)
{
	struct run run = {.frame_count = (u8)Frama_C_interval(0, RUN_FRAMES)};
	u32 granules = granules_for((u32)Frama_C_interval(1, (int)PACK_LENGTH_MAX));
	u32 bucket;

	/*@ assert granules: 1 <= granules <= 48; */
	run.free = (u16)Frama_C_interval(0, (int)(RUN_FRAMES * FRAME_GRANULES));
	run.count = (u8)Frama_C_interval(0, RUN_FRAGMENTS) & 63;
	bucket = bucket_of(&run);
	/*@ assert bucket: bucket < 64; */
	return granules + bucket;
}

int main(void)
{
	static const u32 sizes[] = {1, 17, 48}, gaps[] = {0, 1, 40}, wanted[] = {1, 48};

	for (u32 s = 0; s < 27; s++)
		for (u32 g = 0; g < 27; g++) {
			const u32 its_sizes[3] = {sizes[s % 3], sizes[s / 3 % 3], sizes[s / 9]};
			const u32 its_gaps[3] = {gaps[g % 3], gaps[g / 3 % 3], gaps[g / 9]};

			for (u32 w = 0; w < 2; w++)
				check_room(its_sizes, its_gaps, (s + g) % 2, wanted[w]);
		}
	return (int)check_ranges();
}
