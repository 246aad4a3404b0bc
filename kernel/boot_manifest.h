/*
 * Finds the manifest among the boot modules and reads it.
 */
#ifndef KERNEL_BOOT_MANIFEST_H
#define KERNEL_BOOT_MANIFEST_H

#include "manifest/manifest.h"

#define MANIFEST_MODULE "sluice.toml"

/* Parses the module sluice.toml and applies [machine] to log, reserve and BUG. Lives forever. NULL
 * after messages that name each error and its line. */
const struct manifest *boot_manifest_load(void);

#endif
