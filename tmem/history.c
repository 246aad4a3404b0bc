/*
 * Recalling, growing and shrinking (tmem/history.h).
 */
#include "tmem/history.h"

#include "tmem/arena.h"

COLD void history_init(struct history *history)
{
	*history = (struct history){.pages = 0};
	directory_init(&history->leaves);
}

static void grow(struct tmem *tmem, struct history *history)
{
	u32 number = history->pages;
	u32 mask = number > history->mask ? history->mask * 2 + 1 : history->mask;
	void *page;

	if (directory_reach(tmem, &history->leaves, number, metadata_alloc) != 0)
		return;
	page = metadata_alloc(tmem);
	if (!page)
		return;
	/* Whose hashes lead here from now on were led there so far. */
	if (number)
		tmem_port_copy(page, directory_leaf(&history->leaves, number & mask >> 1));
	*directory_place(&history->leaves, number) = page;
	history->pages++;
	history->mask = mask;
}

static void shrink(struct tmem *tmem, struct history *history)
{
	void **place = directory_place(&history->leaves, --history->pages);

	metadata_free(tmem, *place);
	*place = NULL;
	if (history->pages <= (history->mask >> 1) + 1)
		history->mask >>= 1;
}

/* One page more than wanted is kept, lest it come and go. */
void history_adjust(struct tmem *tmem, struct history *history, u64 keys)
{
	u64 wanted = (keys + HISTORY_PAGE_KEYS - 1) / HISTORY_PAGE_KEYS;

	history_settle(history);
	if (history->pages < wanted)
		grow(tmem, history);
	else if (history->pages > wanted + (wanted != 0))
		shrink(tmem, history);
}

COLD void history_visit(
	const struct history *history, void (*visit)(void *page, void *argument), void *argument)
{
	for (u32 i = 0; i < history->pages; i++)
		visit(directory_leaf(&history->leaves, i), argument);
	directory_visit(&history->leaves, visit, argument);
}

static void free_page(void *page, void *argument)
{
	metadata_free(argument, page);
}

COLD void history_destroy(struct tmem *tmem, struct history *history)
{
	history_visit(history, free_page, tmem);
	history_init(history);
}
