/*
 * See check.h.
 */
#include "manifest/check.h"

#include <string.h>

static void check_required(struct parser *p, const struct open_table *open)
{
	for (unsigned i = 0; i < open->table->key_count; i++) {
		const struct key *key = &open->table->keys[i];
		struct message *m;

		if (!key->required || open->key_lines[i])
			continue;
		m = parser_begin(p);
		message_text(m, "[[");
		message_text(m, open->table->path);
		message_text(m, "]] has no ");
		message_text(m, key->name);
		message_text(m, ", which is ");
		message_valid(m, key);
		parser_send(p, open->line);
	}
}

void check_disk(struct parser *p)
{
	struct open_table *open = &p->other;
	struct disk_config *disk = open->record;

	check_required(p, open);
	if (open->key_lines[KEY_DISK_MODULE] && open->key_lines[KEY_DISK_SIZE])
		parser_complain(p,
			MAX(open->key_lines[KEY_DISK_MODULE], open->key_lines[KEY_DISK_SIZE]),
			"a disk has a module (read-only contents) or a size (blank), not both");
	else if (!open->key_lines[KEY_DISK_MODULE] && !open->key_lines[KEY_DISK_SIZE])
		parser_complain(p, open->line,
			"a disk has either a module (read-only contents) or a size (blank)");
	if (!open->key_good[KEY_DISK_NAME])
		return;
	for (struct disk_config *other = p->guest->disks; other < disk; other++)
		if (strcmp(other->name, disk->name) == 0) {
			parser_complain_with_line(p, open->key_lines[KEY_DISK_NAME],
				"this disk has the name of the one at line ", other->line);
			break;
		}
}

/* Complains if two sizes that are there are not in order. */
static void check_order(struct parser *p, unsigned low_key, unsigned high_key, u64 low, u64 high,
	const char *what, const char *is_below)
{
	const struct open_table *open = &p->guest_table;
	struct message *m;

	if (!open->key_good[low_key] || !open->key_good[high_key] || low <= high)
		return;
	m = parser_begin(p);
	message_text(m, what);
	message_size(m, high);
	message_text(m, is_below);
	message_size(m, low);
	parser_send(p, MAX(open->key_lines[low_key], open->key_lines[high_key]));
}

void check_shared_pool(struct parser *p)
{
	struct open_table *open = &p->other;
	const struct shared_pool_config *pool = open->record;

	check_required(p, open);
	if (!open->key_good[KEY_SHARED_UUID])
		return;
	for (const struct shared_pool_config *other = p->guest->shared_pools; other < pool; other++)
		if (other->uuid[0] == pool->uuid[0] && other->uuid[1] == pool->uuid[1]) {
			parser_complain_with_line(p, open->key_lines[KEY_SHARED_UUID],
				"this shared pool is the one at line ", other->line);
			break;
		}
}

/* Groups are numbered as they come. */
static void number_group(struct parser *p)
{
	struct guest_config *guest = p->guest;
	u32 groups = 0;

	if (!guest->dedup_group[0])
		return;
	for (const struct guest_config *other = p->manifest->guests; other < guest; other++) {
		groups = MAX(groups, other->dedup_group_number);
		if (strcmp(other->dedup_group, guest->dedup_group) == 0) {
			guest->dedup_group_number = other->dedup_group_number;
			return;
		}
	}
	if (groups == MANIFEST_GROUPS_MAX)
		parser_complain(p, p->guest_table.key_lines[KEY_GUEST_DEDUP_GROUP],
			"there are at most 8 groups of guests");
	else
		guest->dedup_group_number = groups + 1;
}

void check_guest(struct parser *p)
{
	struct open_table *open = &p->guest_table;
	struct guest_config *guest = p->guest;

	check_required(p, open);
	number_group(p);
	if (!open->key_lines[KEY_GUEST_MEMORY_MIN])
		guest->memory_min = guest->memory_max;
	check_order(p, KEY_GUEST_MEMORY_MIN, KEY_GUEST_MEMORY_MAX, guest->memory_min,
		guest->memory_max, "memory_max ", " is below memory_min ");
	check_order(p, KEY_GUEST_MEMORY_MIN, KEY_GUEST_MEMORY_START, guest->memory_min,
		guest->memory_start, "memory_start ", " is below memory_min ");
	check_order(p, KEY_GUEST_MEMORY_START, KEY_GUEST_MEMORY_MAX, guest->memory_start,
		guest->memory_max, "memory_max ", " is below memory_start ");
	/* With memory_min left out, the guest has one size. */
	if (!open->key_lines[KEY_GUEST_MEMORY_MIN] && open->key_good[KEY_GUEST_MEMORY_START] &&
		open->key_good[KEY_GUEST_MEMORY_MAX] && guest->memory_start < guest->memory_max) {
		struct message *m = parser_begin(p);

		message_text(m, "memory_start ");
		message_size(m, guest->memory_start);
		message_text(m, " is below memory_max ");
		message_size(m, guest->memory_max);
		message_text(m, ", which is memory_min, too, where that is left out");
		parser_send(p, open->key_lines[KEY_GUEST_MEMORY_START]);
	}
	if (!open->key_good[KEY_GUEST_NAME])
		return;
	for (struct guest_config *other = p->manifest->guests; other < guest; other++)
		if (strcmp(other->name, guest->name) == 0) {
			parser_complain_with_line(p, open->key_lines[KEY_GUEST_NAME],
				"this guest has the name of the one at line ", other->line);
			break;
		}
}

void check_minima(struct parser *p)
{
	const struct manifest *manifest = p->manifest;
	struct message *m;
	u64 minima = 0;

	for (unsigned i = 0; i < manifest->guest_count; i++)
		if (!manifest->guests[i].bad)
			minima += manifest->guests[i].memory_min;
	if (!p->memory_line || minima <= manifest->balloon.memory)
		return;
	m = parser_begin(p);
	message_text(m, "memory ");
	message_size(m, manifest->balloon.memory);
	message_text(m, " of [balloon] is below the sum of all memory_min, ");
	message_size(m, minima);
	parser_send(p, p->memory_line);
}
