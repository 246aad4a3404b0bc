/* See policy_record.h. By slots of VMs, which are not used again; one more stands for the pool. */
#include "kernel/policy_record.h"

#include <stdio.h>
#include <string.h>

#include "kernel/core/log.h"

#define POOL       VMS_MAX
#define LOG_PAGES  (MIB(4) / PAGE_SIZE)
#define TELL_PAGES (MIB(2) / PAGE_SIZE)

static u32 pages[VMS_MAX + 1][VMS_MAX + 1];  /* [from][to], saturated */
static u8 reasons[VMS_MAX + 1][VMS_MAX + 1]; /* of the last move */

__init void policy_record_start(void)
{
	memset(pages, 0, sizeof(pages));
	memset(reasons, 0, sizeof(reasons));
}

static const char *name_of(unsigned slot)
{
	const struct vm *vm = slot == POOL ? NULL : vm_at(slot);

	return vm ? vm->config->name : "the pool";
}

void policy_record_reason(char *words, u64 room, const struct balloon_move *move)
{
	const char *text = balloon_reason_text(move->reason);

	if (move->gain || move->loss)
		sniprintf(words, room, "%s (reads a second and MiB: saves %u.%02u, loses %u.%02u)",
			text, move->gain / 100, move->gain % 100, move->loss / 100,
			move->loss % 100);
	else
		sniprintf(words, room, "%s", text);
}

void policy_record(const struct balloon_plan *plan, struct vm *const *vms)
{
	for (unsigned i = 0; i < plan->move_count; i++) {
		const struct balloon_move *move = &plan->moves[i];
		unsigned from = move->from < plan->count ? vms[move->from]->id - 1U : POOL;
		unsigned to = move->to < plan->count ? vms[move->to]->id - 1U : POOL;
		u64 before = pages[from][to], after = MIN(before + move->pages, 0xffffffffUL);
		char why[120];

		/* What moves between a guest's RAM and its share is its own. */
		if (from == to)
			continue;
		pages[from][to] = (u32)after;
		reasons[from][to] = (u8)move->reason;
		if (before / LOG_PAGES == after / LOG_PAGES)
			continue;
		policy_record_reason(why, sizeof(why), move);
		log_info("policy: %s gave %s %lu MiB by now, %s", name_of(from), name_of(to),
			(unsigned long)(after * PAGE_SIZE / MIB(1)), why);
	}
}

/* Calls @print for each pair that is worth telling. */
static void each_pair(void (*print)(unsigned from, unsigned to))
{
	for (unsigned from = 0; from <= POOL; from++)
		for (unsigned to = 0; to <= POOL; to++)
			if (pages[from][to] >= TELL_PAGES) {
				print(from, to);
				log_flush();
			}
}

static void print_row(unsigned from, unsigned to)
{
	log_info("%-10s %-10s %10lu  %s", name_of(from), name_of(to),
		(unsigned long)(pages[from][to] * PAGE_SIZE / KIB(1)),
		balloon_reason_text((enum balloon_reason)reasons[from][to]));
}

/* No guest can have this name. */
static const char *tools_name_of(unsigned slot)
{
	return slot == POOL ? "(pool)" : name_of(slot);
}

static void print_row_for_tools(unsigned from, unsigned to)
{
	log_info("stat: moved from=%s to=%s pages=%lu", tools_name_of(from), tools_name_of(to),
		(unsigned long)pages[from][to]);
}

void policy_record_print(void)
{
	log_info("%-10s %-10s %10s  %s", "gave", "got", "KiB", "at last because");
	each_pair(print_row);
}

void policy_record_print_for_tools(void)
{
	each_pair(print_row_for_tools);
}
