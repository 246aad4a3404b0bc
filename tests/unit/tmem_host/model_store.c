/*
 * The store as it ought to be (model_parts.h): a dense array with one entry for each handle that
 * the player uses, and per client a queue of ephemeral pages in order of age.
 */
#include "tests/unit/tmem_host/model_parts.h"

#include <stdlib.h>

void forget(struct model_client *client, struct model_pool *pool, struct entry *entry)
{
	if (!entry->seed)
		return;
	entry->seed = 0;
	if (pool->persistent)
		client->persistent--;
	else
		client->ephemeral--;
}

void forget_pool(struct model_client *client, struct model_pool *pool)
{
	for (u32 object = 0; object < OBJECTS; object++)
		for (u32 index = 0; index < INDICES; index++)
			forget(client, pool, &pool->entries[object][index]);
}

static void enqueue(struct model_client *client, struct queued queued)
{
	if (client->tail - client->head == client->capacity)
		abort();
	client->queue[client->tail++ % client->capacity] = queued;
}

/* The oldest page that is still there, or NULL; drops stale queue entries. */
static struct entry *oldest_entry(struct model_client *client, struct model_pool **pool)
{
	for (; client->head != client->tail; client->head++) {
		struct queued *queued = &client->queue[client->head % client->capacity];
		struct entry *entry;

		*pool = &client->pools[queued->pool];
		entry = &(*pool)->entries[queued->object][queued->index];
		if (entry->seed && entry->age == queued->age && !(*pool)->persistent)
			return entry;
	}
	return NULL;
}

/* Stale entries are removed before the ring is full. */
static void tidy_queue(struct model_client *client)
{
	u64 kept = client->head;

	if (client->tail - client->head < client->capacity - 1)
		return;
	for (u64 i = client->head; i != client->tail; i++) {
		struct queued queued = client->queue[i % client->capacity];
		struct model_pool *pool = &client->pools[queued.pool];
		struct entry *entry = &pool->entries[queued.object][queued.index];

		if (entry->seed && entry->age == queued.age && !pool->persistent)
			client->queue[kept++ % client->capacity] = queued;
	}
	client->tail = kept;
}

bool model_make_room(struct model *model, struct model_client *self, bool persistent)
{
	u64 stored = 0, pages = 0, weight = 1;
	struct model_client *victim = NULL;
	struct model_pool *pool;
	struct entry *entry;

	for (u32 i = 0; i <= model->config.clients; i++)
		stored += model->clients[i].ephemeral + model->clients[i].persistent;
	if (stored < model->config.max_pages)
		return true;
	if (!persistent) {
		victim = self;
		pages = self->ephemeral + 1;
		weight = self->weight;
	}
	for (u32 i = 0; i <= model->config.clients; i++) {
		struct model_client *client = &model->clients[i];

		if (client->ephemeral * weight > pages * client->weight) {
			victim = client;
			pages = client->ephemeral;
			weight = client->weight;
		}
	}
	entry = victim ? oldest_entry(victim, &pool) : NULL;
	if (!entry)
		return false;
	forget(victim, pool, entry);
	victim->evictions++;
	return true;
}

bool lost(struct model *model, struct target *target)
{
	CHECK(!model->config.exact, "page lost that no eviction explains");
	CHECK(!target->place->persistent, "persistent page lost");
	forget(target->holder, target->place, target->entry);
	target->holder->evictions++;
	return true;
}

void make_newest(struct model *model, struct target *target)
{
	target->entry->age = ++model->age;
	tidy_queue(target->holder);
	enqueue(target->holder, (struct queued){target->entry->age, (u8)target->pool_number,
					(u8)target->object, (u8)target->index});
}

void store_in_model(struct model *model, struct target *target, u64 seed, bool is_new)
{
	struct entry *entry = target->entry;

	entry->seed = seed;
	if (!is_new)
		return;
	if (target->place->persistent) {
		target->holder->persistent++;
		return;
	}
	target->holder->ephemeral++;
	make_newest(model, target);
}
