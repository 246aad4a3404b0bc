/*
 * See replace.h. The rules follow Linux's (mm/vmscan.c, mm/workingset.c describe them), sized for a
 * guest.
 */
#include "guest-shim/replace.h"

/* How many pages one choice looks at before it takes the oldest whatever its accessed bit says, and
 * how many it ages at most. */
#define SCAN_MAX 64
#define AGE_MAX  32

#define SWAPPINESS_SCALE 200

static enum replace_list inactive_of(enum replace_class class)
{
	return class == REPLACE_FILE ? LIST_FILE_INACTIVE : LIST_ANON_INACTIVE;
}

static enum replace_list active_of(enum replace_class class)
{
	return class == REPLACE_FILE ? LIST_FILE_ACTIVE : LIST_ANON_ACTIVE;
}

static u32 class_length(const struct replace *r, enum replace_class class)
{
	return r->chains[inactive_of(class)].length + r->chains[active_of(class)].length;
}

static u32 total_length(const struct replace *r)
{
	return class_length(r, REPLACE_FILE) + class_length(r, REPLACE_ANON);
}

/* ---- Lists ----------------------------------------------------------------------------------- */

static void chain_push(struct replace *r, u32 page, enum replace_list list)
{
	struct replace_chain *chain = &r->chains[list];
	struct replace_node *node = &r->nodes[page];

	node->list = (u8)list;
	node->prev = REPLACE_NONE;
	node->next = chain->newest;
	if (chain->newest != REPLACE_NONE)
		r->nodes[chain->newest].prev = page;
	else
		chain->oldest = page;
	chain->newest = page;
	chain->length++;
}

static void chain_take(struct replace *r, u32 page)
{
	struct replace_node *node = &r->nodes[page];
	struct replace_chain *chain = &r->chains[node->list];

	if (node->prev != REPLACE_NONE)
		r->nodes[node->prev].next = node->next;
	else
		chain->newest = node->next;
	if (node->next != REPLACE_NONE)
		r->nodes[node->next].prev = node->prev;
	else
		chain->oldest = node->prev;
	chain->length--;
	node->list = LIST_NONE;
}

static void move(struct replace *r, u32 page, enum replace_list list)
{
	chain_take(r, page);
	chain_push(r, page, list);
}

void replace_init(struct replace *r, struct replace_node *nodes, u32 count, u32 swappiness)
{
	*r = (struct replace){.nodes = nodes, .swappiness = swappiness};
	for (unsigned list = 0; list < LISTS; list++)
		r->chains[list] = (struct replace_chain){REPLACE_NONE, REPLACE_NONE, 0};
	for (u32 page = 0; page < count; page++)
		nodes[page].list = LIST_NONE;
}

/* ---- Pages come and are used ------------------------------------------------------------------
 */

/* What has to be smaller than memory for a page that was @class's to have stayed (mm/workingset.c).
 */
static u32 working_set(const struct replace *r, enum replace_class class)
{
	u32 size = r->chains[active_of(class)].length;

	if (class == REPLACE_ANON)
		size += class_length(r, REPLACE_FILE);
	else if (r->anon_evictable)
		size += class_length(r, REPLACE_ANON);
	return size;
}

/* A refault costs I/O, so its class is pressed less; old costs fade. */
static void note_cost(struct replace *r, enum replace_class class)
{
	r->cost[class]++;
	if (r->cost[REPLACE_FILE] + r->cost[REPLACE_ANON] > total_length(r) / 4) {
		r->cost[REPLACE_FILE] /= 2;
		r->cost[REPLACE_ANON] /= 2;
	}
}

static void activate(struct replace *r, u32 page, enum replace_class class)
{
	move(r, page, active_of(class));
	r->nodes[page].referenced = false;
	r->clock++;
}

bool replace_add(struct replace *r, u32 page, enum replace_class class, u32 stamp)
{
	bool refault = false;

	if (stamp != STAMP_NEW) {
		note_cost(r, class);
		refault = ((r->clock - stamp) & STAMP_MASK) <= working_set(r, class);
	}
	if (refault && class == REPLACE_FILE)
		r->file_refault = r->clock;
	r->nodes[page].referenced = false;
	chain_push(r, page, refault ? active_of(class) : inactive_of(class));
	return refault;
}

void replace_touch(struct replace *r, u32 page)
{
	struct replace_node *node = &r->nodes[page];

	if (node->referenced && node->list == LIST_FILE_INACTIVE)
		activate(r, page, REPLACE_FILE);
	else
		node->referenced = true;
}

void replace_remove(struct replace *r, u32 page)
{
	chain_take(r, page);
}

void replace_rename(struct replace *r, u32 from, u32 to)
{
	struct replace_node *node = &r->nodes[to];
	struct replace_chain *chain = &r->chains[r->nodes[from].list];

	*node = r->nodes[from];
	if (node->prev != REPLACE_NONE)
		r->nodes[node->prev].next = to;
	else
		chain->newest = to;
	if (node->next != REPLACE_NONE)
		r->nodes[node->next].prev = to;
	else
		chain->oldest = to;
	r->nodes[from] = (struct replace_node){.list = LIST_NONE};
}

void replace_keep(struct replace *r, u32 page, enum replace_class class)
{
	chain_push(r, page, active_of(class));
}

/* ---- Pages leave ------------------------------------------------------------------------------
 */

static bool inactive_is_low(const struct replace *r, enum replace_class class)
{
	return r->chains[inactive_of(class)].length < r->chains[active_of(class)].length;
}

/* Plenty of file pages were used once, and none of late would have been kept by more memory:
 * streaming reads must not push anonymous memory out. */
static bool file_pages_suffice(const struct replace *r)
{
	return !inactive_is_low(r, REPLACE_FILE) &&
	       r->chains[LIST_FILE_INACTIVE].length > total_length(r) / 8 &&
	       (!r->file_refault || r->clock - r->file_refault > total_length(r) / 4);
}

/* Shares the pressure by smooth weighted turns. */
static enum replace_class choose_class(struct replace *r)
{
	u64 file = class_length(r, REPLACE_FILE);
	u64 anon = class_length(r, REPLACE_ANON);
	u64 sum = (u64)r->cost[REPLACE_FILE] + r->cost[REPLACE_ANON];
	enum replace_class class;

	if (!r->anon_evictable || !anon)
		return REPLACE_FILE;
	if (!file)
		return REPLACE_ANON;
	if (file_pages_suffice(r))
		return REPLACE_FILE;
	/* Neither class gets less than a third on account of costs alone. */
	file *= (SWAPPINESS_SCALE - r->swappiness) * (sum + 1) * 16 /
		(sum + r->cost[REPLACE_FILE] + 1);
	anon *= r->swappiness * (sum + 1) * 16 / (sum + r->cost[REPLACE_ANON] + 1);
	r->credit[REPLACE_FILE] += (s64)file;
	r->credit[REPLACE_ANON] += (s64)anon;
	class = r->credit[REPLACE_FILE] >= r->credit[REPLACE_ANON] ? REPLACE_FILE : REPLACE_ANON;
	r->credit[class] -= (s64)(file + anon);
	return class;
}

/* Pages move from the active list's old end to the inactive list, where they are watched once more.
 */
static void age(struct replace *r, enum replace_class class)
{
	for (unsigned n = 0; n < AGE_MAX && inactive_is_low(r, class); n++) {
		u32 page = r->chains[active_of(class)].oldest;

		if (class == REPLACE_ANON)
			replace_test_young(page);
		move(r, page, inactive_of(class));
	}
}

static u32 take(struct replace *r, u32 page)
{
	chain_take(r, page);
	r->clock++;
	return page;
}

/* Everything looked used: the oldest that is not locked goes. */
static u32 oldest_of_any(struct replace *r)
{
	for (unsigned list = 0; list < LISTS; list++) {
		if (!r->anon_evictable && list >= LIST_ANON_INACTIVE)
			break;
		for (u32 page = r->chains[list].oldest; page != REPLACE_NONE;
			page = r->nodes[page].prev) {
			if (!r->nodes[page].locked)
				return take(r, page);
		}
	}
	return REPLACE_NONE;
}

u32 replace_victim(struct replace *r)
{
	for (unsigned scanned = 0; scanned < SCAN_MAX; scanned++) {
		enum replace_class class = choose_class(r);
		u32 page;

		age(r, class);
		page = r->chains[inactive_of(class)].oldest;
		if (page == REPLACE_NONE)
			continue;
		if (r->nodes[page].locked)
			move(r, page, inactive_of(class));
		else if (class == REPLACE_ANON && replace_test_young(page))
			activate(r, page, class);
		else
			return take(r, page);
	}
	return oldest_of_any(r);
}
