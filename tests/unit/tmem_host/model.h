/*
 * A plain model of the tmem store, and a player that applies the same operations to both and
 * compares: results, whole page contents, counts. Used by the random test and by the fuzzer.
 */
#ifndef TESTS_TMEM_MODEL_H
#define TESTS_TMEM_MODEL_H

#include "lib/types.h"
#include "tmem/tmem.h"

struct model_config {
	u64 memory_pages; /* of the host; a multiple of 512 */
	u64 max_pages;    /* of the pool; 0 = no limit of its own */
	unsigned clients; /* at most MODEL_CLIENTS */
	u32 weights[4];
	u64 persistent_max;
	bool exact; /* no failures and no reclaim: every eviction is foretold */
	u8 ephemeral_modes, persistent_modes; /* TMEM_MODE_*; with any pages are of all kinds */
	bool first_in_first_out;              /* pages have no history; always so if @exact */
	bool groups;   /* every other client is in one group, the others in another */
	bool bad_keys; /* hash keys of zero, so that everything collides */
};
#define MODEL_CLIENTS 4U

/* Where the player takes its decisions from: random numbers, or the fuzzer's input. */
typedef u32 (*model_choose)(void *argument, u32 bound);

struct model;
struct model *model_create(const struct model_config *config, model_choose choose, void *argument);
/* One operation; false with a message in model_error() when store and model disagree. */
bool model_step(struct model *model);
/* The audit of the store, and its counts against the model's. */
bool model_check(struct model *model);
/* How often a frame went to the store or came from it in place of a copy. */
u64 model_flips(const struct model *model);
/* Takes everything down; false if the store kept a page. */
bool model_finish(struct model *model);
const char *model_error(void);

#endif
