/*
 * The fake tmem store (fake/store.c).
 */
#ifndef FAKE_STORE_H
#define FAKE_STORE_H

#include "kernel/vm/tmem_port.h"

/* The fake store: holds pages that tmem_reclaim() hands out, newest first. */
void fake_store_add(void *page);
/* Empty, and the machine's store if @present; else tmem is off. */
void fake_store_reset(bool present);
extern u64 fake_store_persistent;
/* What tmem_audit() answers after its visits. */
extern int fake_store_verdict;

#endif
