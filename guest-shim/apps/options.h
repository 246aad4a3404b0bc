/*
 * key=value words of an application's command line, and what the three applications take alike.
 */
#ifndef APPS_OPTIONS_H
#define APPS_OPTIONS_H

#include <stdint.h>

/* The value of the word `name=value` (decimal or 0x...), or @fallback if there is none. Ends the
 * program with a message if the value is no number. */
uint64_t option(int argc, char **argv, const char *name, uint64_t fallback);

#endif
