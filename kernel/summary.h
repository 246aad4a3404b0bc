/*
 * The summary at the end: tables for people, and `stat:` lines of key=value pairs for tools.
 */
#ifndef KERNEL_SUMMARY_H
#define KERNEL_SUMMARY_H

#include "lib/types.h"

struct vm;

/* All guests have been started: what the hypervisor itself takes is counted now, their tables
 * included. */
void summary_note_start(void);

/* Keeps what is known of a life's disks and tmem pages before they are given back. Tables and
 * `stat:` lines are about all lives of a guest, but for its memory's figures and how it ended:
 * those are of the last. */
void summary_remember(struct vm *vm);

/* @boot_ticks: from the multiboot entry to the first guest entry. @audit_errors: what the last
 * audit found. The world is stopped. */
void summary_print(u64 boot_ticks, u64 audit_errors);

#endif
