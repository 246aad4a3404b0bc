/*
 * printf's formatting into a buffer, in a twelfth of the space that newlib's takes. Pure.
 */
#ifndef LIB_FORMAT_H
#define LIB_FORMAT_H

#include <stdarg.h>

#include "lib/types.h"

/*
 * Writes at most @room bytes to @to, the last of them 0, and returns how many characters the whole
 * text has without it.
 *
 * %[-][0][#][width][.precision][hh|h|l|ll|z]c, d, i, u, x, X, s, p and %%. Width and precision are
 * numbers or *; the precision is for %s alone, which then reads no further. What else follows a %
 * stands in the text as it is. tests/source/test_formats.py looks at what the sources use.
 */
int format_text(char *to, size_t room, const char *format, va_list arguments) __printf_like(3, 0);

#endif
