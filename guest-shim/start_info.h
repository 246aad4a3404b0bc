/*
 * What the PVH loader hands over: memory map and command line, copied out so that the memory they
 * stood in can be used.
 */
#ifndef SHIM_START_INFO_H
#define SHIM_START_INFO_H

#include "lib/types.h"

#define MEMORY_RANGES_MAX 32
#define COMMAND_LINE_MAX  1024

/* A range of RAM in whole pages: [first, end). */
struct memory_range {
	u32 first, end;
};

struct start_info {
	struct memory_range ram[MEMORY_RANGES_MAX];
	unsigned ranges;
	char command_line[COMMAND_LINE_MAX];
};

struct hvm_start_info;

/* Panics if @hvm is no start info of version 1 or later, since there is nothing to run on then. */
void start_info_read(struct start_info *info, const struct hvm_start_info *hvm);

#endif
