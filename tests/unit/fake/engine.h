/*
 * The real engine as the machine's store, for hosted tests of what stands between it and guests.
 * Each checks what it does, and fails the test.
 */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include "kernel/vm/tmem_port.h"
#include "kernel/vm/vm.h"

/* A store with @max_pages, 0: as many as there are. */
void fake_engine_start(u64 max_pages);
/* A fresh machine whose CPUs have passed, and a store. Runs as CPU 0. */
void fake_engine_machine(u64 ram, unsigned cpus);
/* A client with its own hash keys; @modes (TMEM_MODE_*) are those of persistent pools. */
struct tmem_client *fake_engine_client(u32 weight, u64 persistent_max, u8 modes);
/* To the end, however many steps it takes. */
void fake_engine_end_client(struct tmem_client *client);
/* The guest of slot 0, promised all its @bytes, with @vcpu; and its end. */
struct vm *fake_engine_guest(struct vcpu *vcpu, u64 bytes, const struct nested_layout *layout);
void fake_engine_end_guest(struct vm *vm);
/* A page, and whether it is still that. */
void fake_engine_fill(void *page, u64 seed);
bool fake_engine_holds(const void *page, u64 seed);
/* Page @number of a pool, a thousand an object. */
struct tmem_handle fake_engine_handle(s32 pool, u64 number);
/* No frame may be left. */
void fake_engine_end(void);

#endif
