/*
 * The host's checker of boot manifests: the hypervisor's own parser around files.
 *
 *   sluice-manifest FILE...         errors as FILE:LINE: MESSAGE; status 1 if there is any
 *   sluice-manifest --json FILE     the manifest with all defaults filled in
 *
 * FILE may be - for the standard input.
 */
#include "manifest/manifest.h"
#include "manifest/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENT_MAX (16u << 20)

struct finding {
	unsigned line;
	char *message;
};

struct findings {
	struct finding *list;
	unsigned count, room;
};

static void *must(void *memory)
{
	if (!memory) {
		perror("sluice-manifest");
		exit(2);
	}
	return memory;
}

static void collect(void *argument, unsigned line, const char *message)
{
	struct findings *findings = argument;

	if (findings->count == findings->room) {
		findings->room = findings->room ? 2 * findings->room : 16;
		findings->list = must(
			realloc(findings->list, findings->room * sizeof(*findings->list)));
	}
	findings->list[findings->count++] = (struct finding){line, must(strdup(message))};
}

/* By line; the parser's order where several concern one line. */
static void sort_findings(struct findings *findings)
{
	for (unsigned i = 1; i < findings->count; i++) {
		struct finding moving = findings->list[i];
		unsigned j = i;

		for (; j > 0 && findings->list[j - 1].line > moving.line; j--)
			findings->list[j] = findings->list[j - 1];
		findings->list[j] = moving;
	}
}

static char *read_document(const char *name, size_t *length)
{
	FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");
	char *text = must(malloc(DOCUMENT_MAX));

	if (!file) {
		fprintf(stderr, "sluice-manifest: %s: %s\n", name, strerror(errno));
		exit(2);
	}
	*length = fread(text, 1, DOCUMENT_MAX, file);
	if (ferror(file) || *length == DOCUMENT_MAX) {
		fprintf(stderr, "sluice-manifest: %s: %s\n", name,
			ferror(file) ? strerror(errno) : "longer than 16 MiB");
		exit(2);
	}
	if (file != stdin)
		fclose(file);
	return text;
}

/* ---- The dump -----------------------------------------------------------------------------------
 */

static void print_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			printf("\\u%04x", (unsigned char)*text);
		else
			putchar(*text);
	}
	putchar('"');
}

static u64 load_number(const struct key *key, const void *record)
{
	const char *field = (const char *)record + key->offset;
	u64 number = 0;

	memcpy(&number, field, key->width); /* little endian */
	return number;
}

static void print_uuid(const void *field)
{
	u64 uuid[2];

	memcpy(uuid, field, sizeof(uuid));
	printf("\"%08llx-%04llx-%04llx-%04llx-%012llx\"", (unsigned long long)uuid[1] >> 32,
		(unsigned long long)uuid[1] >> 16 & 0xffff, (unsigned long long)uuid[1] & 0xffff,
		(unsigned long long)uuid[0] >> 48, (unsigned long long)uuid[0] & 0xffffffffffff);
}

static void print_keys(const struct table *table, const void *record)
{
	for (unsigned i = 0; i < table->key_count; i++) {
		const struct key *key = &table->keys[i];
		u64 number;

		printf("%s\"%s\": ", i ? ", " : "", key->name);
		if (key->type == KEY_NAME || key->type == KEY_MODULE || key->type == KEY_TEXT) {
			print_string((const char *)record + key->offset);
			continue;
		}
		if (key->type == KEY_UUID) {
			print_uuid((const char *)record + key->offset);
			continue;
		}
		number = load_number(key, record);
		if (key->type == KEY_BOOLEAN)
			printf("%s", number ? "true" : "false");
		else if (key->type == KEY_CHOICE)
			print_string(key->choices[number]);
		else
			printf("%llu", (unsigned long long)number);
	}
}

static void print_json(const struct manifest *manifest)
{
	printf("{\"machine\": {");
	print_keys(&manifest_tables[TABLE_MACHINE], &manifest->machine);
	printf("},\n \"tmem\": {");
	print_keys(&manifest_tables[TABLE_TMEM], &manifest->tmem);
	printf("},\n \"balloon\": {");
	print_keys(&manifest_tables[TABLE_BALLOON], &manifest->balloon);
	printf("},\n \"guest\": [");
	for (unsigned i = 0; i < manifest->guest_count; i++) {
		const struct guest_config *guest = &manifest->guests[i];

		printf("%s\n  {\"line\": %u, \"bad\": %s, ", i ? "," : "", guest->line,
			guest->bad ? "true" : "false");
		print_keys(&manifest_tables[TABLE_GUEST], guest);
		printf(", \"disk\": [");
		for (unsigned j = 0; j < guest->disk_count; j++) {
			printf("%s\n   {\"line\": %u, ", j ? "," : "", guest->disks[j].line);
			print_keys(&manifest_tables[TABLE_DISK], &guest->disks[j]);
			putchar('}');
		}
		printf("], \"shared_pool\": [");
		for (unsigned j = 0; j < guest->shared_pool_count; j++) {
			printf("%s\n   {\"line\": %u, ", j ? "," : "", guest->shared_pools[j].line);
			print_keys(&manifest_tables[TABLE_SHARED], &guest->shared_pools[j]);
			putchar('}');
		}
		printf("]}");
	}
	printf("]}\n");
}

static unsigned check(const char *name, bool json)
{
	static struct manifest manifest;
	struct findings findings = {0};
	size_t length;
	char *text = read_document(name, &length);
	bool fatal;
	unsigned errors = manifest_parse(text, length, &manifest, &fatal, collect, &findings);

	sort_findings(&findings);
	for (unsigned i = 0; i < findings.count; i++) {
		fprintf(stderr, "%s:%u: %s\n", name, findings.list[i].line,
			findings.list[i].message);
		free(findings.list[i].message);
	}
	free(findings.list);
	free(text);
	if (json && !fatal)
		print_json(&manifest);
	return errors;
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	unsigned errors = 0;

	if (argc < 2 + json || (json && argc != 3)) {
		fprintf(stderr,
			"usage: sluice-manifest FILE...\n       sluice-manifest --json FILE\n");
		return 2;
	}
	for (int i = 1 + json; i < argc; i++)
		errors += check(argv[i], json);
	return errors != 0;
}
