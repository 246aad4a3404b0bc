/*
 * The lines that every guest ends with.
 */
#ifndef SHIM_REPORT_H
#define SHIM_REPORT_H

/* Prints "shim: key=value ..." with the exit status and all counters (counters.h) on the console.
 */
void report_print(int status);

#endif
