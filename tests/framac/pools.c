/*
 * The pool ids that guests give (named_pool() in tmem/client.h, tmem_pool_destroy() in
 * tmem/client_pools.c): any number at all reaches an entry of the table or is refused.
 */
#include "tests/framac/port.h"

#include SOURCE

static struct tmem_client client;
static struct pool pools[2];

static const struct pool *look(s32 id)
{
	const struct pool *pool = named_pool(&client, id);

	/*@ assert pool == \null || \valid_read(pool); */
	return pool;
}

int main(void)
{
	for (u32 i = 0; i < TMEM_POOLS_PER_GUEST; i++)
		client.pools[i] = Frama_C_interval(0, 1) ? &pools[Frama_C_interval(0, 1)] : NULL;
	/* All numbers there are; apart, since the check compares them without their sign. */
	if (Frama_C_interval(0, 1))
		return look(Frama_C_interval(-0x7fffffff - 1, -1)) != NULL;
	if (Frama_C_interval(0, 1))
		return look(Frama_C_interval(0, 15)) != NULL;
	return look(Frama_C_interval(16, 0x7fffffff)) != NULL;
}
