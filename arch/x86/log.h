/*
 * The log's levels under the names the rest of the hypervisor uses; log_line() is in port.h.
 */
#ifndef ARCH_LOG_H
#define ARCH_LOG_H

#include "arch/x86/port.h"

/* As enum log_level of kernel/core/log.h, which asserts that they agree. */
#define ARCH_LOG_ERROR 0
#define ARCH_LOG_WARN  1
#define ARCH_LOG_INFO  2

#define log_error(...) log_line(ARCH_LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(ARCH_LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(ARCH_LOG_INFO, __VA_ARGS__)

#endif
