/*
 * Copies of pages, each way, on the host's processor; the choice among them from times; and the
 * measuring itself, of which only what follows from its figures can be foretold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/arch.h"
#include "arch/x86/copy.h"
#include "arch/x86/port.h"

#define VECTOR_WORDS 32

/* tests/machine/vectors.S */
void vectors_load(const u64 *values);
void vectors_store(u64 *values);

static u8 room[ARCH_COPY_ROOM] __aligned_to(PAGE_SIZE);
static u8 *const from = room + PAGE_SIZE, *const to = room + 4 * PAGE_SIZE;
static char line[320];

u64 arch_tsc(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

void log_line(int level, const char *format, ...)
{
	va_list arguments;

	(void)level;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
}

static void every_way_copies_a_page_and_nothing_else(void **state)
{
	static u8 wanted[sizeof(room)];
	u64 before[VECTOR_WORDS], after[VECTOR_WORDS];

	(void)state;
	for (unsigned i = 0; i < VECTOR_WORDS; i++)
		before[i] = 0x9e3779b97f4a7c15UL * (i + 1);
	for (unsigned way = 0; way < COPY_WAYS; way++) {
		for (unsigned i = 0; i < sizeof(room); i++)
			room[i] = wanted[i] = (u8)(i * 7 + i / 251 + way);
		memcpy(wanted + (to - room), from, PAGE_SIZE);
		vectors_load(before);
		copy_page_by(to, from, (enum copy_way)way);
		vectors_store(after);
		assert_memory_equal(before, after, sizeof(before));
		assert_memory_equal(room, wanted, sizeof(room));
	}
}

static void each_use_has_its_way(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COPY_WAYS * COPY_WAYS; i++) {
		copy_ways[COPY_NEAR] = (u8)(i % COPY_WAYS);
		copy_ways[COPY_AWAY] = (u8)(i / COPY_WAYS);
		memset(from, (int)i + 1, PAGE_SIZE);
		memset(to, 0, 2 * PAGE_SIZE);
		arch_copy_page(to, from);
		arch_copy_page_away(to + PAGE_SIZE, from);
		assert_memory_equal(to, from, PAGE_SIZE);
		assert_memory_equal(to + PAGE_SIZE, from, PAGE_SIZE);
	}
}

static void the_median_is_the_one_in_the_middle(void **state)
{
	u64 one[] = {7}, five[] = {9, 1, ~0UL, 3, 3}, sorted[] = {1, 2, 3};

	(void)state;
	assert_int_equal(copy_median(one, 1), 7);
	assert_int_equal(copy_median(five, 5), 3);
	assert_int_equal(copy_median(sorted, 3), 2);
	assert_true(five[0] == 1 && five[4] == ~0UL);
}

static void the_fastest_way_is_chosen_if_it_is_clearly_so(void **state)
{
	static const struct {
		u64 ticks[COPY_WAYS];
		enum copy_way way;
	} cases[] = {
		{{800, 500, 4096, 900}, COPY_MOVSQ},
		{{800, 600, 400, 900}, COPY_MOVSB},
		{{800, 700, 700, 699}, COPY_NONTEMPORAL},
		/* The plain loop is as good as what is not a sixteenth better. */
		{{800, 800, 800, 800}, COPY_SSE},
		{{800, 750, 751, 4000}, COPY_SSE},
		{{800, 749, 751, 4000}, COPY_MOVSQ},
		{{800, 900, 4000, 1600}, COPY_SSE},
		/* The first of those that are as good. */
		{{800, 500, 500, 500}, COPY_MOVSQ},
		{{800, 900, 500, 500}, COPY_MOVSB},
		/* Nothing was measured. */
		{{0, 0, 0, 0}, COPY_SSE},
		{{~0UL, ~0UL, 1, ~0UL}, COPY_MOVSB},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(copy_choose(cases[i].ticks), cases[i].way);
}

static void the_manifest_forces_a_way(void **state)
{
	static const char *const names[] = {"sse", "movsq", "movsb", "nontemporal"};
	char beginning[64];

	(void)state;
	for (unsigned way = 0; way < COPY_WAYS; way++) {
		arch_choose_copy(way + 1, room);
		assert_int_equal(copy_ways[COPY_NEAR], way);
		assert_int_equal(copy_ways[COPY_AWAY], way);
		snprintf(beginning, sizeof(beginning), "stat: copy near=%s away=%s forced=1 ",
			names[way], names[way]);
		assert_memory_equal(line, beginning, strlen(beginning));
	}
}

static void what_was_measured_decides(void **state)
{
	u64 near[COPY_WAYS], away[COPY_WAYS];
	int found;

	(void)state;
	copy_ways[COPY_NEAR] = copy_ways[COPY_AWAY] = COPY_WAYS;
	arch_choose_copy(0, room);
	found = sscanf(line,
		"stat: copy near=%*s away=%*s forced=0 near_sse=%lu near_movsq=%lu near_movsb=%lu "
		"near_nontemporal=%lu away_sse=%lu away_movsq=%lu away_movsb=%lu "
		"away_nontemporal=%lu",
		&near[0], &near[1], &near[2], &near[3], &away[0], &away[1], &away[2], &away[3]);
	assert_int_equal(found, 2 * COPY_WAYS);
	assert_int_equal(copy_ways[COPY_NEAR], copy_choose(near));
	assert_int_equal(copy_ways[COPY_AWAY], copy_choose(away));
	for (unsigned way = 0; way < COPY_WAYS; way++)
		assert_true(near[way] > 0 && away[way] > 0);
}

static void without_memory_the_plain_loop_stays(void **state)
{
	(void)state;
	copy_ways[COPY_NEAR] = copy_ways[COPY_AWAY] = COPY_MOVSB;
	arch_choose_copy(0, NULL);
	assert_int_equal(copy_ways[COPY_NEAR], COPY_SSE);
	assert_int_equal(copy_ways[COPY_AWAY], COPY_SSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_copies_a_page_and_nothing_else),
		cmocka_unit_test(each_use_has_its_way),
		cmocka_unit_test(the_median_is_the_one_in_the_middle),
		cmocka_unit_test(the_fastest_way_is_chosen_if_it_is_clearly_so),
		cmocka_unit_test(the_manifest_forces_a_way),
		cmocka_unit_test(what_was_measured_decides),
		cmocka_unit_test(without_memory_the_plain_loop_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
