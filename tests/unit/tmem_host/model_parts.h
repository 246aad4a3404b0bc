/*
 * Inside the model of the tmem store: what it knows, and what its parts do for each other. model.c
 * has its life, the choice of steps and the check of all counts; model_store.c the store as it
 * ought to be; model_pages.c puts, gets and flushes; model_pools.c all else that a client may do.
 * Steps return false, with a message, when store and model disagree.
 */
#ifndef TESTS_TMEM_MODEL_PARTS_H
#define TESTS_TMEM_MODEL_PARTS_H

#include "tests/unit/tmem_host/model.h"
#include "tests/unit/tmem_host/port.h"
#include "tests/unit/tmem_host/window.h"

#define POOLS   4U
#define SHARED  3U /* the one that all clients may share */
#define OBJECTS 24U
#define INDICES 80U

#define SAMPLED_KEYS 0x20000000U /* of 2^32: one key in eight is told of */

struct entry {
	u64 seed; /* contents; 0 = not stored */
	u64 age;  /* order of ephemeral puts */
};

struct model_pool {
	bool exists, persistent, dying;
	bool filtered; /* its miss filter was opened: */
	struct guest_window window;
	s32 id; /* the store's */
	/* What the store called a sampled page so far, 0 = not yet. */
	u64 hashes[OBJECTS][INDICES];
	struct entry entries[OBJECTS][INDICES];
};

struct queued {
	u64 age;
	u8 pool, object, index;
};

struct model_client {
	struct tmem_client *client;
	u32 weight;
	bool frozen;
	u64 ephemeral, persistent;
	u64 evictions; /* pages known to be lost to eviction */
	u64 hash_keys[6];
	u64 puts, gets; /* to private pools, that are told of */
	struct model_pool pools[POOLS];
	struct queued *queue; /* ring, oldest at @head; entries of another age are stale */
	u64 head, tail, capacity;
};

struct model {
	struct model_config config;
	model_choose choose;
	void *argument;
	struct tmem *tmem;
	/* The one after the last holds the shared pool's pages. Its client in the store is a sharer
	 * that does nothing, so that the pool stays. */
	struct model_client clients[MODEL_CLIENTS + 1];
	u64 seed, age;
	u64 flips; /* frames that changed hands */
	void *page;
	void **reclaimed;
};

/* Notes what model_error() says; false. */
bool __printf_like(1, 2) model_fail(const char *format, ...);

#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return model_fail(__VA_ARGS__);                                            \
	} while (0)

static inline u32 choose(struct model *model, u32 bound)
{
	return model->choose(model->argument, bound);
}

static inline struct model_client *owner_of(struct model *model)
{
	return &model->clients[model->config.clients];
}

static inline bool has_modes(const struct model *model)
{
	return model->config.ephemeral_modes | model->config.persistent_modes;
}

/* Client @number in the store, anew. */
bool create_client(struct model *model, u32 number);
/* What the store tells about the shared pool. */
struct tmem_pool_info shared_info(struct model *model);

struct target {
	u32 client_number, pool_number, object, index;
	struct model_client *client;
	struct model_pool *pool;
	/* Where the pages are: the same, or for the shared pool its owner and that one's pool. */
	struct model_client *holder;
	struct model_pool *place;
	struct entry *entry;
	struct tmem_handle handle;
};

static inline bool usable(const struct target *target)
{
	return target->pool->exists && !target->pool->dying;
}

/* ---- The store as it ought to be (model_store.c) ------------------------------------------ */

void forget(struct model_client *client, struct model_pool *pool, struct entry *entry);
void forget_pool(struct model_client *client, struct model_pool *pool);
/* What the rules say about a put of a new page while the store is full: evicts from the model;
 * false if the put must be refused. */
bool model_make_room(struct model *model, struct model_client *self, bool persistent);
/* A page that the model still had and the store has not: it was evicted. */
bool lost(struct model *model, struct target *target);
void make_newest(struct model *model, struct target *target);
void store_in_model(struct model *model, struct target *target, u64 seed, bool is_new);

/* ---- Steps ------------------------------------------------------------------------------- */

/* Of pages that are sampled: a hook of the host. */
void note_told(void *owner, enum tmem_event event, const struct tmem_sample *sample);

bool step_put(struct model *model, struct target *target, bool bad_frame);
bool step_get(struct model *model, struct target *target, bool bad_frame);
bool step_flush_page(struct model *model, struct target *target);
bool step_flush_object(struct model *model, struct target *target);

bool step_freeze(struct target *target);
/* Creates a pool, or takes one step (or all) of its destruction. */
bool step_pool(struct model *model, struct target *target);
bool step_reclaim(struct model *model);
bool step_bad_arguments(struct model *model, struct target *target);
/* The guest dies, and another takes its place. */
bool step_restart(struct model *model, struct target *target);
/* A tick, another weight, or other caps: most times none, so that there is something to store. */
bool step_control(struct model *model, struct target *target);

#endif
