/*
 * Walks the items of a manifest, and fills in the structs by the schema. Its state is one small
 * struct on the caller's stack; messages go out one by one, in the order in which they are found.
 */
#include "manifest/manifest.h"

#include "manifest/check.h"
#include "manifest/convert.h"

#include <string.h>

#define TABLES "[machine], [tmem], [balloon], [[guest]], [[guest.disk]], [[guest.shared_pool]]"

/* Closes the open table, but not the guest around a disk or shared pool. */
static void end_table(struct parser *p)
{
	if (p->open == &p->other && p->other.table == &manifest_tables[TABLE_DISK])
		check_disk(p);
	if (p->open == &p->other && p->other.table == &manifest_tables[TABLE_SHARED])
		check_shared_pool(p);
	if (p->open == &p->other && p->other.table == &manifest_tables[TABLE_BALLOON] &&
		p->other.key_good[KEY_BALLOON_MEMORY])
		p->memory_line = p->other.key_lines[KEY_BALLOON_MEMORY];
	p->open = NULL;
}

static void leave_guest(struct parser *p)
{
	end_table(p);
	if (p->guest)
		check_guest(p);
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
		parser_complain(p, line, "there are at most 64 guests");
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
		parser_complain(p, line, "[[guest.disk]] stands after the [[guest]] it belongs to");
	else if (p->guest && p->guest->disk_count == MANIFEST_DISKS_MAX)
		parser_complain(p, line, "a guest has at most 8 disks");
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
		parser_complain(
			p, line, "[[guest.shared_pool]] stands after the [[guest]] it belongs to");
	else if (p->guest && p->guest->shared_pool_count == MANIFEST_SHARED_MAX)
		parser_complain(p, line, "a guest has at most 8 shared pools");
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
		parser_complain_with_line(
			p, line, "this table is already at line ", p->table_lines[id]);
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
		parser_complain_about(p, item->line,
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
	struct message *m = parser_begin(p);

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
	parser_send(p, item->line);
}

static void take_pair(struct parser *p, const struct toml_item *item)
{
	struct open_table *open = p->open;
	const struct key *key = NULL;
	struct message *m;
	unsigned i;

	if (!open) {
		parser_complain_about(
			p, item->line, "key ", item->name, " stands before any [table]");
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
		m = parser_begin(p);
		message_text(m, key->name);
		message_text(m, " is already set at line ");
		message_number(m, open->key_lines[i]);
		parser_send(p, item->line);
		return;
	}
	open->key_lines[i] = item->line;
	open->key_good[i] = convert_value(key, &item->value, open->record);
	if (open->key_good[i])
		return;
	m = parser_begin(p);
	message_text(m, key->name);
	message_text(m, " ");
	message_slice(m, item->value.raw);
	message_text(m, " is not ");
	message_valid(m, key);
	parser_send(p, item->line);
}

static void take_error(struct parser *p, const struct toml_item *item)
{
	struct message *m;

	/* Which guest a broken header is about, nobody can tell. */
	if (item->is_header)
		leave_guest(p);
	m = parser_begin(p);
	message_text(m, item->error);
	if (item->name.length) {
		message_text(m, "; found: ");
		message_slice(m, item->name);
	}
	parser_send(p, item->line);
	if (item->is_header)
		open_table(p, &p->other, NULL, NULL, item->line);
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
		parser_complain(&p, item.line, "there is no [[guest]] to run");
	*fatal = p.fatal;
	return p.errors;
}
