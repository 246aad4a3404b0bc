/*
 * What the operator of the machine sends (docs/console.md): lines that he types, and the wish that
 * the guest ends. Both come by interrupts to the first vCPU.
 */
#ifndef SHIM_OPERATOR_H
#define SHIM_OPERATOR_H

#include <stddef.h>

#include "lib/types.h"

/* The interrupt of the power button reaches this vCPU from now on; nothing where there is none. */
void operator_init(void);

/* It came: operator_has_asked() from now on, and whoever waits for a line finds that there is none.
 */
void operator_asks(void);
bool operator_has_asked(void);

/*
 * Waits for a whole line and copies it, or as much of one as fits: @room bytes at most, which may
 * be paged out; the rest comes with the next call. '\n' ends a line. 0 at the end: the operator has
 * asked. Application context.
 */
size_t operator_read(char *to, size_t room);

#endif
