/* newlib's integer-only formatting under the host's names. */
#ifndef UNIT_STDIO_H
#define UNIT_STDIO_H

#include_next <stdio.h>

#define sniprintf  snprintf
#define vsniprintf vsnprintf

#endif
