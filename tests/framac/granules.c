/*
 * How much room a fragment takes (granules_for() in tmem/pack_run.h), by WP: a contract that holds
 * for every length there is, not for ranges of it.
 */
#include "tests/framac/port.h"

#include "lib/types.h"

/*@ requires 1 <= length <= 3064;
    assigns \nothing;
    ensures enough: \result * 64 >= length + 8;
    ensures no_more: (\result - 1) * 64 < length + 8;
    ensures three_quarters: 1 <= \result <= 48; */
static inline u32 granules_for(u32 length);

#include SOURCE
