/*
 * The share arithmetic of eviction (furthest_over_share() in tmem/evict.h, through
 * choose_victim()), with any number of clients, any counts that 28-bit slots allow, with and
 * without frames, and any weights, those of a shared pool's owner too, which are the sum of its
 * sharers': no product overflows, no client outside the table is read, and the victim is NULL or
 * has pages.
 */
#include "tests/framac/port.h"

#include SOURCE
#include "tmem/evict.c"

static struct tmem_client records[3];
static struct tmem store;

static void any_client(struct tmem_client *client)
{
	/* At most every other client shares the same pool. */
	client->weight = (u32)Frama_C_interval(0, 65535 * (int)TMEM_CLIENTS / 2);
	client->dense_pages[EPHEMERAL] = (u64)Frama_C_interval(0, SLOT_MASK);
	client->dense_frames[EPHEMERAL] = (u64)Frama_C_interval(0, SLOT_MASK);
	client->stats.ephemeral_pages = (u64)Frama_C_interval(0, SLOT_MASK);
	client->used = (bool)Frama_C_interval(0, 1);
	client->used_at = Frama_C_unsigned_int_interval(0, 0xffffffff);
	client->tmem = &store;
}

int main(void)
{
	struct tmem_client *self, *victim;

	store.ticks = Frama_C_unsigned_int_interval(0, 0xffffffff);
	store.client_count = (u32)Frama_C_interval(0, TMEM_CLIENTS);
	for (u32 i = 0; i < 3; i++)
		any_client(&records[i]);
	for (u32 i = 0; i < TMEM_CLIENTS; i++) {
		u32 which = (u32)Frama_C_interval(0, 3);

		store.clients[i] = which < 3 ? &records[which] : NULL;
	}
	self = Frama_C_interval(0, 1) ? &records[0] : NULL;
	victim = choose_victim(&store, self, (enum tmem_class)Frama_C_interval(0, 1));
	/*@ assert victim == \null || \valid(victim); */
	return victim != NULL;
}
