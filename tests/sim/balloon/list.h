/* Pages of the simulator's guests in lists, newest first; a page is in one list at a time. */
#ifndef SIM_LIST_H
#define SIM_LIST_H

#include "lib/types.h"

#define SIM_NONE 0xffffffffU

struct sim_page {
	u32 newer, older; /* in the list of its place; SIM_NONE at the ends */
	u32 tick;         /* last access */
	u8 place;
	u8 queue; /* enum queue, in the pool */
	u8 seen;
};

struct sim_list {
	u32 newest, oldest, count;
};

static inline void list_init(struct sim_list *list)
{
	*list = (struct sim_list){SIM_NONE, SIM_NONE, 0};
}

static inline void list_push(struct sim_page *page, struct sim_list *list, u32 n)
{
	page[n].newer = SIM_NONE;
	page[n].older = list->newest;
	if (list->newest != SIM_NONE)
		page[list->newest].newer = n;
	else
		list->oldest = n;
	list->newest = n;
	list->count++;
}

static inline void list_remove(struct sim_page *page, struct sim_list *list, u32 n)
{
	if (page[n].newer != SIM_NONE)
		page[page[n].newer].older = page[n].older;
	else
		list->newest = page[n].older;
	if (page[n].older != SIM_NONE)
		page[page[n].older].newer = page[n].newer;
	else
		list->oldest = page[n].newer;
	list->count--;
}

#endif
