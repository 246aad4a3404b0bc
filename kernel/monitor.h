/*
 * The operator's console: commands on COM1 (docs/console.md). Everything runs on the boot CPU, at
 * the head of its dispatch loop; no lock is held.
 */
#ifndef KERNEL_MONITOR_H
#define KERNEL_MONITOR_H

#include "arch/x86/arch.h"
#include "manifest/manifest.h"

struct vm;

/* Listens to COM1 from now on, if the manifest's `console` says so. */
void monitor_start(const struct machine_config *machine);

/* A command that takes more than one turn is under way. */
extern bool monitor_is_busy;
/* Whether monitor_turn() has something to do: the boot CPU must not idle. */
static inline bool monitor_is_due(void)
{
	return uart_has_input() || monitor_is_busy;
}
/* One bounded step: what was typed, up to a whole command, or a part of one. */
void monitor_turn(void);

/* @vm has ended: whoever had its console has the commands again. */
void monitor_guest_ends(const struct vm *vm);

#endif
