/*
 * A hash table from a key to a record id, one cache line a bucket: a lookup that misses reads that
 * one line, and mostly one word of it. It grows and shrinks by one bucket at a time (linear
 * hashing: W. Litwin, VLDB 1980), so no call does more than one bucket's work. Guarded by the
 * owner's lock.
 *
 * Keys are hashed with secret numbers in ways that are universal, so a guest that does not know the
 * numbers cannot aim at a bucket. Should a bucket grow too long all the same, the table draws new
 * numbers and moves over, bucket by bucket, while lookups search both parts.
 *
 * Invariant: an id stands once, in the chain of the bucket that its hash names, in @now or in @old;
 * tag 0 marks a free place; the first line of a chain has the bit of each entry in @present; all
 * lines of a chain have the same base;
 * @old.buckets is 0 unless the table is moving.
 */
#ifndef TMEM_TABLE_H
#define TMEM_TABLE_H

#include <string.h>

#include "lib/types.h"
#include "tmem/slab.h"

#define LINE_PLACES 10U

struct line {
	u64 present; /* of the first line of a chain: table_bit() of its entries; hardly any more */
	union {
		u8 tags[LINE_PLACES];
		struct {
			u64 first_tags; /* 8 of them, and 2 more: to look at all at once */
			u16 more_tags;
			u8 base; /* of the chain: see table_entry() */
			u8 unused;
			u32 next; /* id of a further line of the bucket, 0 = none */
		};
	};
	u32 entries[LINE_PLACES]; /* ids, and above them marks: entry_has_mark() */
};
_Static_assert(sizeof(struct line) == 64, "a line is a cache line");

#define LINES_PER_LEAF (PAGE_SIZE / sizeof(struct line))
#define LINE_SHIFT     6

/* Buckets lie in leaves of 64, leaves are named by pages of 512 pointers, and these stand here. So
 * a reader without the lock, whatever mix of old and new it sees, follows pointers out of such
 * pages only, which are kept until nobody can be reading (tmem_port_free_later()), and meets a
 * leaf. Where there is none, the pointers lead to one whose lines are empty, which is nobody's. */
#define TABLE_POINTERS (PAGE_SIZE / sizeof(void *))
#define TABLE_MIDDLES  64U
#define TABLE_LEAVES   (TABLE_MIDDLES * TABLE_POINTERS) /* so no mask leads beyond @middles */

struct table_part {
	u64 keys[6];
	u32 buckets;
	u32 mask; /* smallest 2^n - 1 that is at least buckets - 1 */
	struct line **middles[TABLE_MIDDLES];
};

struct table;
/* The hash of record @id under @keys: the owner of the records knows its key. */
typedef u64 (*table_rehash)(const void *owner, const u64 keys[6], u32 id);

struct table {
	struct table_part now, old;
	u32 entries;
	u32 reserve_at; /* with so many entries the next insertion needs table_reserve() */
	u32 rekeys;
	void *spare;        /* a page for the next leaf of @now */
	struct slab *lines; /* further lines of long chains; the owner keeps some available */
	table_rehash rehash;
	const void *owner;
};

/* How many lines must be available for one table_insert(). Growing, shrinking and moving leave
 * enough for the insertions that one put may still have to do. */
#define TABLE_INSERT_LINES 1U
#define TABLE_SPARE_LINES  4U

/* A table without entries: @lines gives its lines, @keys hash, @rehash(@owner, id) says an entry's
 * hash under other keys. */
void table_init(struct table *table, struct slab *lines, const u64 keys[6], table_rehash rehash,
	const void *owner);
void table_destroy(struct tmem *tmem, struct table *table);

/* Adds @id, of 28 bits at most, with @hash under table->now.keys. Needs table_reserve() and
 * TABLE_INSERT_LINES. Also grows the table by a bucket where due. */
void table_insert(struct tmem *tmem, struct table *table, u64 hash, u32 id);

/* Removes @id, which must be there. @hash is under table->now.keys. */
void table_remove(struct tmem *tmem, struct table *table, u64 hash, u32 id);

/* Calls @visit for every page the table holds (not those of @lines). */
void table_visit(
	const struct table *table, void (*visit)(void *page, void *argument), void *argument);

/* For the audit: calls @check for every id with the hash that its place demands; returns the
 * entries found, or ~0 when a chain is broken. */
u64 table_check(const struct table *table, bool (*check)(void *argument, u32 id), void *argument);

/* ---- The hot part ------------------------------------------------------------------- */

typedef unsigned __int128 u128;

/* Keyed hash of a word: the upper half of its product with a number of 128 bits, modulo 2^128
 * (M. Dietzfelbinger, STACS 1996). */
static inline u64 hash_word(const u64 keys[2], u64 a)
{
	return keys[1] * a + (u64)((u128)keys[0] * a >> 64);
}

/*
 * The same of three words: their inner product with three numbers, modulo the prime 2^64 - 59, but
 * carries are left out. All differences of two keys' products are equally likely, and those that
 * make the hashes equal are some hundred multiples of 59, of which for any two keys few can really
 * occur. (Words 2^64 - 59 apart are equal to it: of such keys there are eight at most.)
 */
static inline u64 hash_words(const u64 keys[6], u64 a, u64 b, u64 c)
{
	const u64 words[3] = {a, b, c};
	u64 lower = 0, upper = 0;

#pragma GCC unroll 3
	for (unsigned i = 0; i < 3; i++) {
		u128 product = (u128)keys[5 - i] * words[i];

		lower += (u64)product;
		upper += (u64)(product >> 64);
		/* It would keep three products apart, for which registers are too few. */
		HIDE_FROM_COMPILER(lower);
		HIDE_FROM_COMPILER(upper);
	}
	return lower + upper * 59;
}

/* Not 0, which means free. */
static inline u8 table_tag(u64 hash)
{
	u8 tag = (u8)(hash >> 56);

	return likely(tag) ? tag : 1;
}

/* Which of 64 bits says that there may be something with this hash, or this tag. */
static inline unsigned table_bit(u64 hash)
{
	return (unsigned)(hash >> 58);
}
static inline unsigned tag_bit(u8 tag)
{
	return tag >> 2;
}

/*
 * Four bits more of the hash stand above an id, where that has none: those from @base of the line
 * on. They are beside the lowest ones, which name the bucket, so that a split finds in them where
 * an entry belongs, and need not ask for its record; as long as one of them is still unused, by
 * which entries of a bucket differ. Then the base moves up (table_grow.c).
 */
#define ENTRY_ID_BITS 28
#define MARK_BITS     4U
static inline u32 table_entry(const struct line *line, u64 hash, u32 id)
{
	return (u32)(hash >> line->base) << ENTRY_ID_BITS | id;
}
static inline u32 entry_id(u32 entry)
{
	return entry & ((1U << ENTRY_ID_BITS) - 1);
}
/* Whether @entry of @line may be one with @hash, whose tag it has. */
static inline bool entry_has_mark(const struct line *line, u32 entry, u64 hash)
{
	return !((entry ^ table_entry(line, hash, 0)) >> ENTRY_ID_BITS);
}

/* The bucket of a hash now: linear hashing. */
static inline u32 table_bucket(const struct table_part *part, u64 hash)
{
	u32 bucket = (u32)hash & part->mask;

	return bucket < part->buckets ? bucket : bucket & part->mask >> 1;
}

/* The page of bucket heads with number @leaf. */
static inline struct line **table_leaf(const struct table_part *part, u32 leaf)
{
	return &part->middles[leaf / TABLE_POINTERS][leaf % TABLE_POINTERS];
}

/* The first line of a bucket that exists. */
static inline struct line *table_line(const struct table_part *part, u32 bucket)
{
	return *table_leaf(part, bucket / LINES_PER_LEAF) + bucket % LINES_PER_LEAF;
}

/* The first line of the bucket that @hash names; an empty one, which is not to be written to, if
 * there is no such bucket. For readers without the lock, and for parts without buckets. */
static inline struct line *table_look(const struct table_part *part, u64 hash)
{
	u32 bucket = table_bucket(part, hash), leaf = bucket / LINES_PER_LEAF;

	return part->middles[leaf / TABLE_POINTERS][leaf % TABLE_POINTERS] +
	       bucket % LINES_PER_LEAF;
}

/* The bytes of @word that are zero, as bits 7, 15, ... */
static inline u64 zero_bytes(u64 word)
{
	const u64 low = 0x7f7f7f7f7f7f7f7fUL;

	return ~(((word & low) + low) | word | low);
}

/* The places of @line whose tag is @tag, as bits 7, 15, ... of @first (8 places) and @rest (2). */
static inline bool line_match(const struct line *line, u8 tag, u64 *first, u64 *rest)
{
	const u64 pattern = tag * 0x0101010101010101UL;

	*first = zero_bytes(line->first_tags ^ pattern);
	*rest = zero_bytes(line->more_tags ^ pattern) & 0xffffUL;
	return *first | *rest;
}

/* The first free place of @line; LINE_PLACES or more: it is full. */
static inline u32 line_free_place(const struct line *line)
{
	const u64 low = 0x0101010101010101UL, high = 0x8080808080808080UL;
	/* Of these only the lowest bit is sure to stand for a byte that is zero. */
	u64 free = (line->first_tags - low) & ~line->first_tags & high;

	if (likely(free))
		return (u32)__builtin_ctzl(free) / 8;
	return 8 + (line->tags[8] != 0) + (line->tags[8] && line->tags[9]);
}

/* The line behind @line, whose next is not 0. */
static inline struct line *table_next_line(const struct table *table, const struct line *line)
{
	return SLAB_AT(struct line, LINE_SHIFT, table->lines, line->next);
}

/* Whether entries are on their way to new keys. */
static inline bool table_is_moving(const struct table *table)
{
	return unlikely(table->old.buckets != 0);
}

/* Whether something in @line may have @hash, by its tags and marks. */
static inline __attribute__((always_inline)) bool line_may_have(const struct line *line, u64 hash)
{
	u64 first, rest;

	line_match(line, table_tag(hash), &first, &rest);
	for (; unlikely(first); first &= first - 1)
		if (entry_has_mark(line, line->entries[__builtin_ctzl(first) / 8], hash))
			return true;
	for (; unlikely(rest); rest &= rest - 1)
		if (entry_has_mark(line, line->entries[8 + __builtin_ctzl(rest) / 8], hash))
			return true;
	return false;
}

/* The line that may have something with @hash in @table->now, by one look at one word, which needs
 * no lock; NULL if nothing has. A table that is moving may have it in the old part. */
static inline const struct line *table_may_have(const struct table *table, u64 hash)
{
	const struct line *line = table_look(&table->now, hash);

	return unlikely(READ_ONCE(line->present) >> table_bit(hash) & 1) ? line : NULL;
}

/* A second look, at such a @line: whether nothing with @hash is in its chain; false says: search.
 */
static inline bool line_surely_lacks(const struct line *line, u64 hash)
{
	return !READ_ONCE(line->next) && !line_may_have(line, hash);
}

/* Whether the record @id is the one that is looked for. */
typedef bool (*table_match)(const void *owner, const void *key, u32 id);

/* The id with @hash in one part that @match accepts, else 0. Inlined with its @match. */
static inline __attribute__((always_inline)) u32 table_find_part(const struct table *table,
	const struct table_part *part, u64 hash, table_match match, const void *key)
{
	const struct line *line = table_look(part, hash);
	u8 tag = table_tag(hash);

	for (;;) {
		u64 first, rest;

		line_match(line, tag, &first, &rest);
		for (; first; first &= first - 1) {
			u32 entry = line->entries[__builtin_ctzl(first) / 8], id = entry_id(entry);

			if (likely(entry_has_mark(line, entry, hash) &&
				    match(table->owner, key, id)))
				return id;
		}
		for (; rest; rest &= rest - 1) {
			u32 entry = line->entries[8 + __builtin_ctzl(rest) / 8];
			u32 id = entry_id(entry);

			if (likely(entry_has_mark(line, entry, hash) &&
				    match(table->owner, key, id)))
				return id;
		}
		if (likely(!line->next))
			return 0;
		line = table_next_line(table, line);
	}
}

/* The load that table_insert() keeps: entries a bucket, upper and lower bound. */
#define TABLE_LOAD_MAX 5U
#define TABLE_LOAD_MIN 3U

/* Whether the next insertion needs a page for bucket heads; whether it needs nothing at all. */
static inline bool table_wants_bucket(const struct table *table)
{
	return table->entries >= table->now.buckets * (u64)TABLE_LOAD_MAX;
}

/* The bit of hashes by which the next split tells entries apart, if there are buckets. */
static inline u32 table_split_bit(const struct table *table)
{
	return 31 - (u32)__builtin_clz(table->now.buckets);
}

/* The first line of the bucket that will be split next, if there are buckets. */
static inline const struct line *table_next_split(const struct table *table)
{
	return table_line(&table->now, table->now.buckets - (1U << table_split_bit(table)));
}

/* Of the marks of a bucket that is split by bit @split of the hashes: whether they say which
 * entries move, and leave one bit that tells entries apart. Otherwise all records are asked. */
static inline bool line_marks_tell(const struct line *line, u32 split)
{
	return split - line->base < MARK_BITS - 1;
}

/* That line, if the next insertion splits it and asks for the records of what is in it; else NULL.
 */
static inline const struct line *table_asks(const struct table *table)
{
	const struct line *line;

	if (likely(!table_wants_bucket(table)) || !table->now.buckets)
		return NULL;
	line = table_next_split(table);
	return unlikely(!line_marks_tell(line, table_split_bit(table))) ? line : NULL;
}

static inline bool table_is_ready(const struct table *table)
{
	return table->entries < table->reserve_at;
}

/* table_insert() where all that has to be done is to write an entry into @line, which is by
 * table_look(); else false, and nothing is done. */
static inline bool table_insert_at(struct table *table, struct line *line, u64 hash, u32 id)
{
	u32 place;

	if (table_wants_bucket(table) || table_is_moving(table))
		return false;
	place = line_free_place(line);
	if (unlikely(place >= LINE_PLACES))
		return false;
	line->tags[place] = table_tag(hash);
	line->entries[place] = table_entry(line, hash, id);
	line->present |= BIT(table_bit(hash));
	table->entries++;
	return true;
}

/* What the next table_insert() needs besides lines; -ENOMEM without memory. */
int __must_check table_reserve(struct tmem *tmem, struct table *table);

#endif
