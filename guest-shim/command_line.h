/*
 * The guest's command line: the shim's own options, then what main() gets. Pure.
 */
#ifndef SHIM_COMMAND_LINE_H
#define SHIM_COMMAND_LINE_H

#include "lib/types.h"

#define ARGUMENTS_MAX 32

struct options {
	bool precache; /* tmem=on|off|precache|preswap */
	bool preswap;
	bool filter;         /* filter=on|off: ask the miss filter before precache */
	bool flip;           /* flip=on|off: puts and gets exchange frames */
	bool volatiles;      /* volatile=on|off: volatile pages; on: no precache */
	bool report;         /* report=on|off: free memory is reported to the hypervisor */
	bool virtio_console; /* console=hypercall|virtio: how lines are sent */
	u32 swappiness;      /* swappiness=0..200, how gladly anonymous memory is paged out */
	u32 tsc_khz;         /* tsc_khz=N where no CPUID leaf says; 0 if not given */
	u32 virtio_base;     /* virtio=BASE,STRIDE,GSI for other machines than Sluice's */
	u32 virtio_stride;
	u32 virtio_gsi;
	int argc;
	char *argv[ARGUMENTS_MAX + 1];
};

/*
 * Splits @line at blanks, in place. Words that name one of the options above are taken (the last
 * one counts); all others are arguments in order after @name, and all words behind a word "--".
 * Returns 0, or -EINVAL with the word at fault in @bad: an option whose value is not valid, or the
 * first argument too many.
 */
int command_line_parse(
	char *line, char *name, struct options *options, const char **bad) __must_check;

#endif
