/*
 * Inside bench-tmem (bench.c says what it measures): the pages, handles and stores that its parts
 * work on, and what they do for each other.
 */
#ifndef TESTS_BENCH_TMEM_BENCH_H
#define TESTS_BENCH_TMEM_BENCH_H

#include "tests/bench/tmem/host.h"
#include "tmem/tmem.h"

#define REPETITIONS 11U
#define CHUNK       64U

struct shape {
	const char *name;
	u32 pages_per_object; /* 0: one object for all */
	bool random;
	bool sampled; /* a balloon policy's estimator is told of some; only counted, not timed */
};

/* What pools do with contents, and contents for which that is of use. */
struct mode {
	const char *name;
	u8 modes;    /* TMEM_MODE_* */
	bool adapts; /* pages age as the hypervisor has it by default */
	void (*fill)(u64 *words, u64 page);
};

extern const struct mode *mode; /* of what is being measured; see contents.c */
extern u64 pages;
extern unsigned repetitions;
extern double ns_per_tick;

/* Ends the program with a message unless @good. */
void must(bool good, const char *what);

/* ---- What is in pages (contents.c) --------------------------------------------------------- */

#define MODES 5U
extern const struct mode modes[MODES];
/* The guest's pages, anew. */
void fill_pages(void);

/* ---- Operations (operations.c) ------------------------------------------------------------- */

extern u8 *guest, *target;         /* pages of the guest; where plain copies go */
extern struct tmem *tmem;          /* the store of now, */
extern struct tmem_client *client; /* and its guest */

enum operation {
	NOTHING,
	PUT,
	GET_HIT,
	GET_MISS,      /* object absent */
	GET_MISS_PAGE, /* object present, page absent */
	PUT_FULL,
	PUT_PERSISTENT,
	GET_PERSISTENT,
	FLUSH_PAGE,
	FLUSH_OBJECT,
	OPERATIONS
};

extern const char *const names[OPERATIONS];
/* Whether it copies a page, so that it is compared with plain copies. */
bool copies(enum operation operation);

/* Memory for all @pages, in a random order too. */
void operations_start(void);
/* One chunk of @operation; @base is the number of the first object. */
void run_chunk(enum operation operation, const struct shape *shape, u64 base, u64 first);
/* The same pages copied by the engine's routine, and by `rep movsq`. */
void copy_chunk(u64 first);
void movsq_chunk(u64 first);

/* ---- Measuring (measure.c) ----------------------------------------------------------------- */

struct samples {
	double ns[REPETITIONS], x_copy[REPETITIONS], x_movsq[REPETITIONS];
};

void measure_start(void);
/* All pages through @operation once; its time becomes number @repetition of @samples, or, where
 * instructions are counted, callgrind writes them out. @samples may be NULL: counted only. */
void measure(enum operation operation, const struct shape *shape, u64 base, unsigned repetition,
	struct samples *samples);
/* A line of the table; @bytes that are not data a page, 0 = does not apply. */
void print(
	enum operation operation, const struct shape *shape, struct samples *samples, double bytes);
/* Of as many values as there are repetitions; sorts them. */
double median(double *values);

/* ---- Stores (store.c) ---------------------------------------------------------------------- */

extern u64 first_key_state; /* the same keys for each store */

/* A store without a limit of its own, or of so many pages, and a guest; @sampled: with the balloon
 * policies' estimator behind. */
void new_store(u64 max_pages, bool sampled);
struct tmem_client *new_client(void);
void end_store(void);
/* Bytes that are not data, a page. Where pages need no frame each: of metadata alone. */
double overhead(void);

/* ---- Rows ---------------------------------------------------------------------------------- */

/* cells.c: all operations of one shape. Every put of when_full() evicts, or, where pages differ in
 * size, every one on the mean; the store is filled @rounds times over. */
void with_room(const struct shape *shape);
void persistent(const struct shape *shape);
void flushes(const struct shape *shape);
void when_full(const struct shape *shape, unsigned rounds);

/* machine.c: one read at a random place of @bytes, each place named by the one before; and how much
 * more two threads do than one. */
void random_read(u64 bytes);
void scaling(void);

#endif
