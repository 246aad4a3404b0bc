/*
 * See restart.h. A guest that ends soon after its start, again and again, must not take the
 * machine's time for its starts: from the second such end on it waits, each time twice as long.
 */
#include "kernel/restart.h"

#include "arch/x86/arch.h"

/* A life as short as this, in seconds, makes the next one wait. */
#define QUICK_S 10UL
/* 1 s, 2 s, ... up to 64 s. */
#define WAIT_SHIFT_MAX 6U

static bool no_more;

static bool is_wanted(const struct vm *vm)
{
	unsigned level = vm->config->restart;

	if (no_more || !vm->image)
		return false;
	if (vm->restart.is_ordered)
		return true;
	switch (vm->stop_reason) {
	case STOP_OPERATOR:
		return false;
	case STOP_RESET:
	case STOP_TRIPLE_FAULT: /* resets a PC, too */
		return level >= RESTART_REBOOT;
	case STOP_POWER_OFF:
		return level >= RESTART_ALWAYS && !vm->restart.stays_off;
	case STOP_SHUTDOWN:
		if (vm->stop_code == 0)
			return level >= RESTART_ALWAYS && !vm->restart.stays_off;
		/* fall through */
	default:
		return level >= RESTART_FAILURE;
	}
}

/* Signed: the TSC of the processor that stopped it may be behind this one's. */
static bool was_quick(const struct vm *vm)
{
	return !vm->started ||
	       (s64)(vm->stopped_at - vm->started_at) < (s64)(QUICK_S * arch_tsc_hz());
}

void restart_decide(struct vm *vm)
{
	struct vm_restart *restart = &vm->restart;
	u64 wait_s = 0;

	restart->at = 0;
	if (!is_wanted(vm))
		return;
	restart->quick_ends = was_quick(vm) && !restart->is_ordered ? restart->quick_ends + 1 : 0;
	if (restart->quick_ends > 1) {
		wait_s = 1UL << MIN(restart->quick_ends - 2, WAIT_SHIFT_MAX);
		log_warn("guest \"%s\": ended %u times in a row within %lu s: restarts in %lu s",
			vm->config->name, restart->quick_ends, QUICK_S, (unsigned long)wait_s);
	}
	restart->at = arch_tsc() + wait_s * arch_tsc_hz();
}

bool restart_is_due(const struct vm *vm)
{
	return vm->restart.at && (vm->reaped || !vm_is_stopped(vm)) &&
	       (s64)(arch_tsc() - vm->restart.at) >= 0;
}

void restart_begins(struct vm *vm)
{
	vm->restart.count++;
	vm->restart.is_ordered = vm->restart.stays_off = false;
}

void restart_order(struct vm *vm)
{
	if (no_more || !vm->image)
		return;
	vm->restart.is_ordered = true;
	if (!vm_is_stopped(vm)) {
		vm_stop(vm, STOP_OPERATOR, 0);
	} else if (vm->dismantled) { /* else restart_decide() is still to come */
		vm->restart.quick_ends = 0;
		vm->restart.at = arch_tsc();
	}
}

bool restart_cancel(struct vm *vm)
{
	if (!vm_is_stopped(vm) || !vm->restart.at)
		return false;
	vm->restart.at = 0;
	vm->restart.is_ordered = false;
	if (vm->reaped)
		vm_uncommit(vm);
	return true;
}

void restart_no_more(void)
{
	struct vm *vm;

	no_more = true;
	for_each_vm (vm)
		(void)restart_cancel(vm);
}
