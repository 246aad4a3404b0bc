/*
 * Objects and groups without pages go from the index of a pool (tmem/index.h).
 */
#include "tmem/index_recent.h"

void pool_remove_object(struct tmem *tmem, struct pool *pool, const struct position *position)
{
	table_remove(tmem, &pool->object_table, pool_object_hash(pool, position->object->key),
		position->object_id);
	position->object->first = 0;
	if (pool->recent_object == position->object)
		pool_forget_recent_object(pool);
	slab_put(tmem, &pool->objects, OBJECT_ID_SHIFT, position->object_id, position->object);
}

void pool_remove_group(struct tmem *tmem, struct pool *pool, const struct position *position)
{
	struct group *group = position->group, *neighbour = NULL;
	bool was_recent = pool->recent_number != NO_GROUP && pool->recent_group == group;
	u32 neighbour_id = 0;

	table_remove(tmem, &pool->group_table, pool_group_hash(pool, group->object, group->number),
		position->group_id);
	if (was_recent)
		pool->recent_number = NO_GROUP;
	if (group->next) {
		neighbour = group_at(pool, group->next);
		neighbour->prev = group->prev;
		neighbour_id = group->next;
	}
	if (group->prev) {
		neighbour = group_at(pool, group->prev);
		neighbour->next = group->next;
		neighbour_id = group->prev;
	} else {
		position->object->first = group->next & 0x7fffffff;
	}
	position->object->groups--;
	/* Who came to the end of a group will go on in the one that was made after it. */
	if (was_recent && neighbour_id)
		pool_set_recent_group(pool, neighbour, neighbour_id);
	slab_put(tmem, &pool->groups, GROUP_ID_SHIFT, position->group_id, group);
	if (!position->object->first)
		pool_remove_object(tmem, pool, position);
}

__attribute__((noinline)) void pool_remove_recent_group(struct tmem *tmem, struct pool *pool)
{
	const struct position position = {
		.object_id = pool->recent_object_id,
		.object = pool->recent_object,
		.group_id = pool_recent_group_id(pool),
		.group = pool->recent_group,
	};

	pool_remove_group(tmem, pool, &position);
}
