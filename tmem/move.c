/*
 * Moving stored pages from slot to slot (tmem/client.h): everything that names the page follows.
 * The client's lock is held.
 */
#include "tmem/dense.h"
#include "tmem/index.h"
#include "tmem/page_list.h"

/* What names the page that was in @slot and is in @to now, with the record @page. */
static void rename_page(struct tmem_client *client, struct page *page, u32 slot, u32 to)
{
	struct pool *pool = client->pools[page_pool(page)];

	if (page_is_grouped(page))
		group_set_slot(group_at(pool, page_owner(page)), page_place(page), to);
	else
		object_at(pool, page_owner(page))->first = to & SLOT_MASK;
	if (page_is_queued(page))
		page_list_rename(
			client, &client->lists[page_state(page) - SLOT_QUEUED], page, slot, to);
}

void client_move_record(struct tmem_client *client, u32 slot, u32 to, u32 content)
{
	struct page *from = page_at(client->tmem, slot), *target = page_at(client->tmem, to);

	target->next = from->next;
	target->owner = from->owner;
	WRITE_ONCE(target->client, content);
	WRITE_ONCE(target->prev, from->prev);
	rename_page(client, target, slot, to);
	if (client->pools[page_pool(target)]->filter)
		client_filter_moved(client, client->pools[page_pool(target)], slot, to);
}

void client_move_page(struct tmem_client *client, u32 slot, u32 to)
{
	struct page *page = page_at(client->tmem, slot);
	struct pool *pool = client->pools[page_pool(page)];
	u32 hash = page_hash(page);

	tmem_port_copy_away(frame_at(client->tmem, to), frame_at(client->tmem, slot));
	dense_forget(client, pool->persistent ? PERSISTENT : EPHEMERAL, slot, page);
	client_move_record(client, slot, to, client->number);
	page_set_state(page, SLOT_EMPTY);
	if (hash)
		dense_note(client, pool, to, hash);
}
