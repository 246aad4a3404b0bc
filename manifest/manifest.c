/*
 * Walks the items of a manifest, fills in the structs by the schema, and checks what no single key
 * can tell: missing keys, duplicates, a minimum above its maximum. Its state is one small struct on
 * the caller's stack; messages go out one by one, in the order in which they are found.
 */
#include "manifest/manifest.h"

#include "manifest/convert.h"
#include "manifest/message.h"
#include "manifest/schema.h"
#include "manifest/toml.h"

#include <string.h>

#define TABLES "[machine], [tmem], [balloon], [[guest]], [[guest.disk]], [[guest.shared_pool]]"

/* The table that lines belong to at the moment. */
struct open_table {
	const struct table *table; /* NULL: unknown or broken, its keys are read over */
	void *record;
	unsigned line;
	unsigned key_lines[TABLE_KEYS_MAX]; /* 0 = key not seen */
	bool key_good[TABLE_KEYS_MAX];      /* its value was valid */
};

struct parser {
	struct toml toml;
	struct manifest *manifest;
	manifest_report report;
	void *argument;
	unsigned errors;
	bool fatal;

	unsigned table_lines[TABLE_COUNT]; /* of [machine], [tmem], [balloon]; 0 = not seen */
	/* The [[guest]] that errors are charged to, and its own keys while its disks and shared
	 * pools are open. */
	struct guest_config *guest;   /* NULL outside guests, and beyond the maximum */
	struct toml_slice guest_name; /* with its quotation marks; empty if it has none */
	unsigned memory_line;         /* of [balloon] memory, if it is there and valid */
	unsigned guests_seen;         /* also those beyond the maximum */
	bool in_guest;                /* lines belong to guest number guests_seen */
	struct open_table guest_table;
	struct open_table other; /* any other table */
	struct open_table *open;
	struct message message;
};

/* ---- Messages ----------------------------------------------------------------------------------
 */

/* Begins a message with whom it is about. */
static struct message *begin(struct parser *p)
{
	struct message *m = &p->message;

	m->length = 0;
	m->text[0] = '\0';
	if (!p->in_guest)
		return m;
	if (p->guest_name.length != 0) {
		message_text(m, "guest ");
		message_slice(m, p->guest_name);
	} else {
		message_text(m, "guest number ");
		message_number(m, p->guests_seen);
	}
	message_text(m, ": ");
	return m;
}

/* Sends the message that begin() began, and charges it: to the open guest, or to the whole
 * manifest. */
static void send(struct parser *p, unsigned line)
{
	if (p->guest)
		p->guest->bad = true;
	else if (!p->in_guest)
		p->fatal = true;
	p->errors++;
	p->report(p->argument, line, p->message.text);
}

static void complain(struct parser *p, unsigned line, const char *text)
{
	message_text(begin(p), text);
	send(p, line);
}

/* "...WHAT..." */
static void complain_about(struct parser *p, unsigned line, const char *before,
	struct toml_slice what, const char *after)
{
	struct message *m = begin(p);

	message_text(m, before);
	message_slice(m, what);
	message_text(m, after);
	send(p, line);
}

/* "... line N" */
static void complain_with_line(
	struct parser *p, unsigned line, const char *text, unsigned other_line)
{
	struct message *m = begin(p);

	message_text(m, text);
	message_number(m, other_line);
	send(p, line);
}

/* ---- Ends of tables -----------------------------------------------------------------------------
 */

static void check_required(struct parser *p, const struct open_table *open)
{
	for (unsigned i = 0; i < open->table->key_count; i++) {
		const struct key *key = &open->table->keys[i];
		struct message *m;

		if (!key->required || open->key_lines[i])
			continue;
		m = begin(p);
		message_text(m, "[[");
		message_text(m, open->table->path);
		message_text(m, "]] has no ");
		message_text(m, key->name);
		message_text(m, ", which is ");
		message_valid(m, key);
		send(p, open->line);
	}
}

static void end_disk(struct parser *p)
{
	struct open_table *open = &p->other;
	struct disk_config *disk = open->record;

	check_required(p, open);
	if (open->key_lines[KEY_DISK_MODULE] && open->key_lines[KEY_DISK_SIZE])
		complain(p, MAX(open->key_lines[KEY_DISK_MODULE], open->key_lines[KEY_DISK_SIZE]),
			"a disk has a module (read-only contents) or a size (blank), not both");
	else if (!open->key_lines[KEY_DISK_MODULE] && !open->key_lines[KEY_DISK_SIZE])
		complain(p, open->line,
			"a disk has either a module (read-only contents) or a size (blank)");
	if (!open->key_good[KEY_DISK_NAME])
		return;
	for (struct disk_config *other = p->guest->disks; other < disk; other++)
		if (strcmp(other->name, disk->name) == 0) {
			complain_with_line(p, open->key_lines[KEY_DISK_NAME],
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
	m = begin(p);
	message_text(m, what);
	message_size(m, high);
	message_text(m, is_below);
	message_size(m, low);
	send(p, MAX(open->key_lines[low_key], open->key_lines[high_key]));
}

static void end_shared_pool(struct parser *p)
{
	struct open_table *open = &p->other;
	const struct shared_pool_config *pool = open->record;

	check_required(p, open);
	if (!open->key_good[KEY_SHARED_UUID])
		return;
	for (const struct shared_pool_config *other = p->guest->shared_pools; other < pool; other++)
		if (other->uuid[0] == pool->uuid[0] && other->uuid[1] == pool->uuid[1]) {
			complain_with_line(p, open->key_lines[KEY_SHARED_UUID],
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
		complain(p, p->guest_table.key_lines[KEY_GUEST_DEDUP_GROUP],
			"there are at most 8 groups of guests");
	else
		guest->dedup_group_number = groups + 1;
}

static void end_guest(struct parser *p)
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
		struct message *m = begin(p);

		message_text(m, "memory_start ");
		message_size(m, guest->memory_start);
		message_text(m, " is below memory_max ");
		message_size(m, guest->memory_max);
		message_text(m, ", which is memory_min, too, where that is left out");
		send(p, open->key_lines[KEY_GUEST_MEMORY_START]);
	}
	if (!open->key_good[KEY_GUEST_NAME])
		return;
	for (struct guest_config *other = p->manifest->guests; other < guest; other++)
		if (strcmp(other->name, guest->name) == 0) {
			complain_with_line(p, open->key_lines[KEY_GUEST_NAME],
				"this guest has the name of the one at line ", other->line);
			break;
		}
}

/* Closes the open table, but not the guest around a disk or shared pool. */
static void end_table(struct parser *p)
{
	if (p->open == &p->other && p->other.table == &manifest_tables[TABLE_DISK])
		end_disk(p);
	if (p->open == &p->other && p->other.table == &manifest_tables[TABLE_SHARED])
		end_shared_pool(p);
	if (p->open == &p->other && p->other.table == &manifest_tables[TABLE_BALLOON] &&
		p->other.key_good[KEY_BALLOON_MEMORY])
		p->memory_line = p->other.key_lines[KEY_BALLOON_MEMORY];
	p->open = NULL;
}

static void leave_guest(struct parser *p)
{
	end_table(p);
	if (p->guest)
		end_guest(p);
	p->guest = NULL;
	p->in_guest = false;
}

/* ---- Beginnings of tables
 * ------------------------------------------------------------------------ */

/* Later pairs go into @record by @table; a NULL table has them read over. */
static void open_table(struct parser *p, struct open_table *open, const struct table *table,
	void *record, unsigned line)
{
	memset(open, 0, sizeof(*open));
	open->table = table;
	open->record = record;
	open->line = line;
	if (table)
		convert_fallbacks(table, record);
	p->open = open;
}

/* Looks ahead for the name of the guest that begins here, so that every message can tell it. */
static struct toml_slice find_guest_name(const struct parser *p)
{
	struct toml ahead = p->toml;
	struct toml_item item;

	do {
		toml_next(&ahead, &item);
		if (item.kind == TOML_PAIR && toml_slice_is(item.name, "name") &&
			item.value.type == TOML_STRING)
			return item.value.raw;
	} while (item.kind == TOML_PAIR || (item.kind == TOML_ERROR && !item.is_header));
	return (struct toml_slice){0};
}

static void begin_guest(struct parser *p, unsigned line)
{
	struct manifest *manifest = p->manifest;

	leave_guest(p);
	p->in_guest = true;
	p->guests_seen++;
	p->guest_name = find_guest_name(p);
	if (manifest->guest_count == MANIFEST_GUESTS_MAX) {
		complain(p, line, "there are at most 64 guests");
		open_table(p, &p->guest_table, NULL, NULL, line);
		return;
	}
	p->guest = &manifest->guests[manifest->guest_count++];
	p->guest->line = line;
	open_table(p, &p->guest_table, &manifest_tables[TABLE_GUEST], p->guest, line);
}
_Static_assert(MANIFEST_GUESTS_MAX == 64, "the message says so");

static void begin_disk(struct parser *p, unsigned line)
{
	struct disk_config *disk;

	end_table(p);
	if (!p->in_guest)
		complain(p, line, "[[guest.disk]] stands after the [[guest]] it belongs to");
	else if (p->guest && p->guest->disk_count == MANIFEST_DISKS_MAX)
		complain(p, line, "a guest has at most 8 disks");
	else if (p->guest) {
		disk = &p->guest->disks[p->guest->disk_count++];
		disk->line = line;
		open_table(p, &p->other, &manifest_tables[TABLE_DISK], disk, line);
		return;
	}
	open_table(p, &p->other, NULL, NULL, line);
}
_Static_assert(MANIFEST_DISKS_MAX == 8, "the message says so");

static void begin_shared_pool(struct parser *p, unsigned line)
{
	struct shared_pool_config *pool;

	end_table(p);
	if (!p->in_guest)
		complain(p, line, "[[guest.shared_pool]] stands after the [[guest]] it belongs to");
	else if (p->guest && p->guest->shared_pool_count == MANIFEST_SHARED_MAX)
		complain(p, line, "a guest has at most 8 shared pools");
	else if (p->guest) {
		pool = &p->guest->shared_pools[p->guest->shared_pool_count++];
		pool->line = line;
		open_table(p, &p->other, &manifest_tables[TABLE_SHARED], pool, line);
		return;
	}
	open_table(p, &p->other, NULL, NULL, line);
}
_Static_assert(MANIFEST_SHARED_MAX == 8, "the message says so");

/* [machine], [tmem] or [balloon] */
static void begin_single(struct parser *p, enum table_id id, void *record, unsigned line)
{
	leave_guest(p);
	if (p->table_lines[id]) {
		complain_with_line(p, line, "this table is already at line ", p->table_lines[id]);
		open_table(p, &p->other, NULL, NULL, line);
		return;
	}
	p->table_lines[id] = line;
	open_table(p, &p->other, &manifest_tables[id], record, line);
}

static void begin_table(struct parser *p, const struct toml_item *item)
{
	unsigned id;

	for (id = 0; id < TABLE_COUNT; id++)
		if (toml_slice_is(item->name, manifest_tables[id].path))
			break;
	if (id == TABLE_COUNT || manifest_tables[id].is_array != (item->kind == TOML_ARRAY_TABLE)) {
		leave_guest(p);
		complain_about(p, item->line,
			item->kind == TOML_TABLE ? "there is no table [" : "there is no table [[",
			item->name,
			item->kind == TOML_TABLE ? "]; valid: " TABLES : "]]; valid: " TABLES);
		open_table(p, &p->other, NULL, NULL, item->line);
		return;
	}
	switch ((enum table_id)id) {
	case TABLE_MACHINE:
		begin_single(p, TABLE_MACHINE, &p->manifest->machine, item->line);
		break;
	case TABLE_TMEM:
		begin_single(p, TABLE_TMEM, &p->manifest->tmem, item->line);
		break;
	case TABLE_BALLOON:
		begin_single(p, TABLE_BALLOON, &p->manifest->balloon, item->line);
		break;
	case TABLE_GUEST:
		begin_guest(p, item->line);
		break;
	case TABLE_DISK:
		begin_disk(p, item->line);
		break;
	case TABLE_SHARED:
		begin_shared_pool(p, item->line);
		break;
	case TABLE_COUNT:
		break;
	}
}

/* ---- Pairs
 * ---------------------------------------------------------------------------------------- */

static void complain_unknown_key(
	struct parser *p, const struct table *table, const struct toml_item *item)
{
	struct message *m = begin(p);

	message_text(m, "unknown key ");
	message_slice(m, item->name);
	message_text(m, " in ");
	message_text(m, table->is_array ? "[[" : "[");
	message_text(m, table->path);
	message_text(m, table->is_array ? "]]" : "]");
	message_text(m, "; valid: ");
	for (unsigned i = 0; i < table->key_count; i++) {
		message_text(m, i ? ", " : "");
		message_text(m, table->keys[i].name);
	}
	send(p, item->line);
}

static void take_pair(struct parser *p, const struct toml_item *item)
{
	struct open_table *open = p->open;
	const struct key *key = NULL;
	struct message *m;
	unsigned i;

	if (!open) {
		complain_about(p, item->line, "key ", item->name, " stands before any [table]");
		return;
	}
	if (!open->table)
		return;
	for (i = 0; i < open->table->key_count && !key; i++)
		if (toml_slice_is(item->name, open->table->keys[i].name))
			key = &open->table->keys[i];
	if (!key) {
		complain_unknown_key(p, open->table, item);
		return;
	}
	i = (unsigned)(key - open->table->keys);
	if (open->key_lines[i]) {
		m = begin(p);
		message_text(m, key->name);
		message_text(m, " is already set at line ");
		message_number(m, open->key_lines[i]);
		send(p, item->line);
		return;
	}
	open->key_lines[i] = item->line;
	open->key_good[i] = convert_value(key, &item->value, open->record);
	if (open->key_good[i])
		return;
	m = begin(p);
	message_text(m, key->name);
	message_text(m, " ");
	message_slice(m, item->value.raw);
	message_text(m, " is not ");
	message_valid(m, key);
	send(p, item->line);
}

static void take_error(struct parser *p, const struct toml_item *item)
{
	struct message *m;

	/* Which guest a broken header is about, nobody can tell. */
	if (item->is_header)
		leave_guest(p);
	m = begin(p);
	message_text(m, item->error);
	if (item->name.length) {
		message_text(m, "; found: ");
		message_slice(m, item->name);
	}
	send(p, item->line);
	if (item->is_header)
		open_table(p, &p->other, NULL, NULL, item->line);
}

/* What all may have together must do for what each is entitled to. */
static void check_minima(struct parser *p)
{
	const struct manifest *manifest = p->manifest;
	struct message *m;
	u64 minima = 0;

	for (unsigned i = 0; i < manifest->guest_count; i++)
		if (!manifest->guests[i].bad)
			minima += manifest->guests[i].memory_min;
	if (!p->memory_line || minima <= manifest->balloon.memory)
		return;
	m = begin(p);
	message_text(m, "memory ");
	message_size(m, manifest->balloon.memory);
	message_text(m, " of [balloon] is below the sum of all memory_min, ");
	message_size(m, minima);
	send(p, p->memory_line);
}

unsigned manifest_parse(const char *text, u64 length, struct manifest *manifest, bool *fatal,
	manifest_report report, void *argument)
{
	struct parser p = {.manifest = manifest, .report = report, .argument = argument};
	struct toml_item item;

	memset(manifest, 0, sizeof(*manifest));
	convert_fallbacks(&manifest_tables[TABLE_MACHINE], &manifest->machine);
	convert_fallbacks(&manifest_tables[TABLE_TMEM], &manifest->tmem);
	convert_fallbacks(&manifest_tables[TABLE_BALLOON], &manifest->balloon);
	toml_start(&p.toml, text, length);
	for (;;) {
		toml_next(&p.toml, &item);
		if (item.kind == TOML_END)
			break;
		if (item.kind == TOML_ERROR)
			take_error(&p, &item);
		else if (item.kind == TOML_PAIR)
			take_pair(&p, &item);
		else
			begin_table(&p, &item);
	}
	leave_guest(&p);
	check_minima(&p);
	if (p.guests_seen == 0)
		complain(&p, item.line, "there is no [[guest]] to run");
	*fatal = p.fatal;
	return p.errors;
}
