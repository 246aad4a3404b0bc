/*
 * See slots.h.
 */
#include "guest-shim/slots.h"

void slots_init(struct slots *slots, u64 *map, u32 count)
{
	*slots = (struct slots){.map = map, .count = count};
}

static bool is_taken(const struct slots *slots, u32 slot)
{
	return slots->map[slot / 64] >> (slot % 64) & 1;
}

/* The first free slot in [from, end), whole words at a time, or SLOT_NONE. */
static u32 find_free(const struct slots *slots, u32 from, u32 end)
{
	for (u32 slot = from; slot < end;) {
		if (slot % 64 == 0 && slots->map[slot / 64] == ~0UL)
			slot += 64;
		else if (is_taken(slots, slot))
			slot++;
		else
			return slot;
	}
	return SLOT_NONE;
}

u32 slots_take(struct slots *slots)
{
	u32 slot;

	if (slots->taken == slots->count)
		return SLOT_NONE;
	slot = find_free(slots, slots->cursor, slots->count);
	if (slot == SLOT_NONE)
		slot = find_free(slots, 0, slots->cursor);
	slots->map[slot / 64] |= BIT(slot % 64);
	slots->taken++;
	slots->cursor = slot + 1 == slots->count ? 0 : slot + 1;
	return slot;
}

bool slots_give(struct slots *slots, u32 slot)
{
	if (slot >= slots->count || !is_taken(slots, slot))
		return false;
	slots->map[slot / 64] &= ~BIT(slot % 64);
	slots->taken--;
	return true;
}
