/*
 * The packs of two clients played against a plain reference: an array of fragments with their
 * contents.
 */
#ifndef TESTS_PACK_MODEL_H
#define TESTS_PACK_MODEL_H

#include "lib/types.h"

struct pack_model_config {
	u64 memory_pages, max_pages; /* of the host, of the store */
	u32 fragments;               /* of each client at most; up to 4096 */
	u32 shortest, longest;       /* lengths */
	bool failures;               /* allocations fail now and then */
};

struct pack_model;

/* @choose gives the next number below a bound. */
struct pack_model *pack_model_create(const struct pack_model_config *config,
	u32 (*choose)(void *argument, u32 bound), void *argument);
/* One operation; false if anything differs from the reference, and pack_model_error() says what. */
bool pack_model_step(struct pack_model *model);
/* Compares everything. */
bool pack_model_check(struct pack_model *model);
/* Frees all fragments and expects all memory back. */
bool pack_model_finish(struct pack_model *model);
const char *pack_model_error(void);

#endif
