/*
 * See units.h.
 */
#include "guest-shim/units.h"

void units_init(struct units *units, struct unit *all, u32 count)
{
	*units = (struct units){
		.all = all, .count = (u32)(units_bytes(count) / sizeof(struct unit))};
}

static bool is_better(const struct unit *unit, const struct unit *best)
{
	if (!best || unit->free != best->free)
		return !best || unit->free > best->free;
	return unit->since < best->since;
}

u32 units_find(struct units *units, u64 now, u64 age, u32 most)
{
	const struct unit *best = NULL;

	for (struct unit *unit = units->all; unit < units->all + units->count; unit++) {
		u32 held = BLOCK_PAGES - unit->free;

		if (held > most || !unit->backed)
			continue;
		if (!unit->since)
			unit->since = now;
		if (now - unit->since >= age && units->backed - unit->backed >= held &&
			is_better(unit, best))
			best = unit;
	}
	return best ? (u32)(best - units->all) * BLOCK_PAGES : UNIT_NONE;
}
