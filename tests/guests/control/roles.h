/*
 * The guests of the test of tmem control: the keeper has pages, the warden freezes, saves and
 * restores them, the heir gets them, the quitter ends in the midst of a restore, the intruder tries
 * all of it without privilege; the governor switches policies, the switcher the
 * modes of its own pools off. A role ends with 0 or the number of
 * the line of the check that failed.
 */
#ifndef CONTROL_ROLES_H
#define CONTROL_ROLES_H

#include "../common/guest.h"
#include <abi/balloon_control.h>
#include <abi/tmem_control.h>

#define PAGE 4096u

uint64_t role_keeper(void);
uint64_t role_heir(void);
uint64_t role_warden(void);
uint64_t role_quitter(void);
uint64_t role_intruder(void);
uint64_t role_governor(void);
uint64_t role_switcher(void);

/* ---- What is kept (store.c) ---------------------------------------------------------- */

#define PAGES       120u /* persistent ones */
#define RECORD_SIZE sizeof(struct tmem_stream_record)
/* A stream of them with all pools. */
#define STREAM_MAX ((PAGES + 8) * (RECORD_SIZE + PAGE))

#define SCRATCH 1000u /* a page that is no part of what is kept */
#define OTHER   1001u
#define SIGNAL  1002u /* in the shared pool until the keeper has met the freeze */

/* The shared pool of the manifest: 5105ce00-0000-0001-0000-000000000002. */
#define SHARED_LOW  2
#define SHARED_HIGH 0x5105ce0000000001ul

/* Puts, gets or flushes page @n of @pool: a get fills and a put takes the one page there is. */
int64_t put(int64_t pool, uint32_t n);
int64_t get(int64_t pool, uint32_t n);
int64_t flush(int64_t pool, uint32_t n);
/* Fills the page with what belongs to @n, and says whether it holds just that. */
void fill(uint32_t n);
bool is_filled(uint32_t n);
/* Whether a get of page @n of @pool hits, with the right contents. */
bool kept(int64_t pool, uint32_t n);

/* ---- Control (calls.c) --------------------------------------------------------------- */

/* The number of the guest of that name; waits until there is one. */
uint64_t guest_named(const char *name);
struct tmem_guest_info guest_info(uint64_t guest);
/* Saves a frozen guest; the size of the stream, or the errno. */
int64_t save_all(uint64_t guest, uint8_t *stream, uint64_t room);
/* Restores from @size bytes and says that this is all; the last result, and the status. */
int64_t restore_all(uint64_t guest, const uint8_t *stream, uint64_t size, uint32_t *status);
/* One call. */
int64_t restore_step(uint64_t guest, const uint8_t *stream, uint64_t size, uint32_t *status);

/* Ends a role with the line of the first check that failed. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__;                                                           \
	} while (0)

#endif
