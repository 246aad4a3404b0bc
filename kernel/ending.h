/*
 * The end of the machine: all guests have stopped; audit, summary, then what the manifest says.
 */
#ifndef KERNEL_ENDING_H
#define KERNEL_ENDING_H

#include "manifest/manifest.h"

/* What to do at the end; before dispatch(). */
void ending_configure(const struct machine_config *config);
/* The operator wants it, whatever the manifest says. */
void ending_must_power_off(void);
/* Notes the time of the first guest entry, for the summary. */
void ending_note_first_entry(void);
__attribute__((noreturn)) void ending(void);

#endif
