/*
 * The stream of saved pages (include/abi/tmem_control.h): its checksum, for who writes and who
 * reads it.
 */
#ifndef TMEM_STREAM_H
#define TMEM_STREAM_H

#include <abi/tmem_control.h>

#include "lib/types.h"

/* How many records one call writes or takes: its work is bounded. */
#define STREAM_STEP_RECORDS 16U

/* The check of a record that follows one with the check @before; @page: its page, or NULL. */
u64 stream_check(const struct tmem_stream_record *record, const void *page, u64 before);

#endif
