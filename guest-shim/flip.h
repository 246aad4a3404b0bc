/*
 * Page flip: whether puts and gets may exchange frames with the hypervisor instead of copying.
 */
#ifndef SHIM_FLIP_H
#define SHIM_FLIP_H

#include "guest-shim/start_info.h"

/* Declares the frames that pages come and go in; without the hypervisor's offer nothing happens. */
void flip_init(const struct start_info *info);
bool flip_is_on(void);

#endif
