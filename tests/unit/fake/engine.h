/*
 * The real engine as the machine's store, for hosted tests of what stands between it and guests.
 * Each checks what it does, and fails the test.
 */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include "kernel/vm/tmem_port.h"

/* A store with @max_pages, 0: as many as there are. */
void fake_engine_start(u64 max_pages);
/* A fresh machine whose CPUs have passed, and a store. Runs as CPU 0. */
void fake_engine_machine(u64 ram, unsigned cpus);
/* A client with its own hash keys; @modes (TMEM_MODE_*) are those of persistent pools. */
struct tmem_client *fake_engine_client(u32 weight, u64 persistent_max, u8 modes);
/* To the end, however many steps it takes. */
void fake_engine_end_client(struct tmem_client *client);
/* No frame may be left. */
void fake_engine_end(void);

#endif
