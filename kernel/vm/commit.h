/*
 * What guests were promised, for the files that must keep it (commit.c; memory.h has what others
 * need).
 */
#ifndef VM_COMMIT_H
#define VM_COMMIT_H

#include "lib/types.h"

/* Gfn tables and nested tables came (positive) or went: they were part of the promise. */
void commit_count_tables(s64 pages);

/* Whether promises, @persistent frames of tmem (tmem_persistent_held()) and the reserve fit in RAM.
 * A few reads, no lock. */
bool commit_leaves_room(u64 persistent);

#endif
