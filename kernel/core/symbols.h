/*
 * Names of the hypervisor's functions, for stack traces.
 */
#ifndef CORE_SYMBOLS_H
#define CORE_SYMBOLS_H

#include "lib/types.h"

/* The function that contains @address, and how far into it; NULL outside the text. Safe in BUG:
 * reads constants only. */
const char *symbol_of(u64 address, u64 *offset);

#endif
