/*
 * How a page leaves the store (tmem/drop.h): its content, its queue, its place in the index and in
 * the accounts.
 */
#include "tmem/drop.h"

#include "tmem/dense.h"
#include "tmem/page_list.h"
#include "tmem/queues.h"

/* Slots all over the place would only keep blocks from becoming free. */
__attribute__((noinline)) void client_no_pages_left(
	struct tmem_client *client, enum tmem_class class)
{
	if (client->magazines[class].count > MAGAZINE_IDLE)
		client_spill(client, class, MAGAZINE_IDLE);
}

__attribute__((noinline)) void client_drop_content(
	struct tmem_client *client, struct pool *pool, u32 slot, struct page *page)
{
	u32 content = page->client;

	if (block_is_virtual(block_of(client->tmem, slot))) {
		if (page_state(page) >= SLOT_QUEUED_CHEAP)
			client_count_aside(client, page_state(page) - SLOT_QUEUED, -1UL);
		WRITE_ONCE(page->client, client->number);
		dense_release(client, pool, content);
	} else {
		dense_forget(client, pool->persistent ? PERSISTENT : EPHEMERAL, slot, page);
	}
}

void drop_from_queue(struct tmem_client *client, const struct page *page, u32 slot)
{
	enum queue queue = (enum queue)(page_state(page) - SLOT_QUEUED);

	client->main_pages -= queue == QUEUE_MAIN;
	page_list_remove(client, &client->lists[queue], page, slot);
}

void client_drop_page(struct tmem_client *client, struct pool *pool,
	const struct position *position, struct page *page)
{
	drop_page(client, pool, position, page);
	page_set_state(page, SLOT_EMPTY);
}

void client_drop_and_keep_slot(
	struct tmem_client *client, struct pool *pool, const struct position *position)
{
	u32 slot = position->slot;
	struct block *block = client_block(client, slot);
	struct page *page = block_page(block, slot);

	drop_page(client, pool, position, page);
	client_give_slot(client, block, page, slot);
}
