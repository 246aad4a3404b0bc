/*
 * What a manifest may say: every table, key, type and range, as data. The parser, its messages, the
 * checker's dump and the tests all read these tables.
 */
#ifndef MANIFEST_SCHEMA_H
#define MANIFEST_SCHEMA_H

#include "lib/types.h"

enum key_type {
	KEY_NAME,    /* char[]: a-z A-Z 0-9 _ - . */
	KEY_MODULE,  /* char[]: first word of a multiboot module's string */
	KEY_TEXT,    /* char[]: anything */
	KEY_SIZE,    /* u64: bytes, written as "64M", a multiple of 4 KiB */
	KEY_NUMBER,  /* u8, u32 or u64 */
	KEY_BOOLEAN, /* bool */
	KEY_CHOICE,  /* u8 or int: choices[value] is written as a string */
	KEY_UUID,    /* u64[2]: 32 hexadecimal digits, the lower half first */
	KEY_CPUS,    /* u64: a bit for each number of an array */
};

struct key {
	const char *name;
	enum key_type type;
	bool required;
	u16 offset, width;          /* of the field in the table's struct */
	u64 min, max;               /* of sizes, numbers, choices, and the elements of arrays */
	u64 fallback;               /* where the key is absent; strings are then empty */
	const char *const *choices; /* by value, from min to max */
};

struct table {
	const char *path; /* as in the header */
	bool is_array;
	unsigned key_count;
	const struct key *keys;
};

#define TABLE_KEYS_MAX 24

enum table_id {
	TABLE_MACHINE,
	TABLE_TMEM,
	TABLE_BALLOON,
	TABLE_GUEST,
	TABLE_DISK,
	TABLE_SHARED,
	TABLE_COUNT
};
extern const struct table manifest_tables[TABLE_COUNT];

/* Places of keys that the parser itself looks at: guest_keys[KEY_GUEST_NAME] and so on. */
enum {
	KEY_GUEST_NAME,
	KEY_GUEST_MEMORY_MIN = 4,
	KEY_GUEST_MEMORY_MAX = 5,
	KEY_GUEST_MEMORY_START = 6,
	KEY_GUEST_DEDUP_GROUP = 16
};
enum { KEY_BALLOON_MEMORY = 1 };
enum { KEY_DISK_NAME, KEY_DISK_MODULE, KEY_DISK_SIZE };
enum { KEY_SHARED_UUID };

#endif
