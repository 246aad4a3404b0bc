/*
 * A guest may change its page while a put looks at it: only the engine's own copy decides what is
 * stored.
 */
#define _GNU_SOURCE /* REG_EFL */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include "tests/unit/tmem_host/dense_store.h"
#include "tests/unit/tmem_host/port.h"
#include "tmem/content.h"

static u8 guest_page[PAGE_SIZE] __aligned_to(PAGE_SIZE);
static unsigned copies, changed_at;

/* The guest changes its page before the engine's first or second copy. */
static void change_page(void *to, const void *from)
{
	(void)to;
	(void)from;
	if (copies++ == changed_at)
		host_fill_page(guest_page, 99);
}

static void only_the_own_copy_decides(void **state)
{
	const struct tmem_handle handle = handle_of(1, 1, 1);
	const u8 modes[] = {TMEM_MODE_FILLED, TMEM_MODE_DEDUP, TMEM_MODE_COMPRESS};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(modes) * 2; i++) {
		u64 seed = KIND(i < 2 ? HOST_PAGE_FILLED : HOST_PAGE_COMPRESSIBLE, 3);

		start(4096, 0, modes[i / 2]);
		host_fill_page(guest_page, seed);
		copies = 0;
		changed_at = i % 2;
		host_copy_hook = change_page;
		assert_int_equal(tmem_put(client, &handle, guest_page), 0);
		host_copy_hook = NULL;
		/* A page that is filled is read, once, and not copied; one that is hashed is copied
		 * by what hashes it, and not again. */
		assert_int_equal(get_seed(client, handle, i < 4 || changed_at ? seed : 99), 0);
		finish();
	}
}

#define TRAP_FLAG 0x100

/* An access to the guest's page: it may be made, and nothing more. */
static void let_through(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)signal;
	if ((u8 *)info->si_addr < guest_page || (u8 *)info->si_addr >= guest_page + PAGE_SIZE)
		abort();
	mprotect(guest_page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	user->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

/* After it every word is another one. */
static void change_all(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	u64 *words = (u64 *)guest_page;

	(void)signal;
	(void)info;
	for (u64 i = 0; i < PAGE_WORDS; i++)
		words[i] = words[i] * 3 + i;
	mprotect(guest_page, PAGE_SIZE, PROT_NONE);
	user->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* A guest that changes the whole page after each single look at it. Whatever came into the store,
 * its hash is noted with it: the same page put again is found. */
static void what_is_hashed_is_what_is_stored(void **state)
{
	static u8 stored[PAGE_SIZE] __aligned_to(PAGE_SIZE);
	const struct sigaction on_fault = {.sa_sigaction = let_through, .sa_flags = SA_SIGINFO};
	const struct sigaction on_step = {.sa_sigaction = change_all, .sa_flags = SA_SIGINFO};
	struct sigaction old_fault, old_step;

	(void)state;
	start(8192, 0, TMEM_MODE_DEDUP);
	host_fill_page(guest_page, 7);
	assert_int_equal(sigaction(SIGSEGV, &on_fault, &old_fault), 0);
	assert_int_equal(sigaction(SIGTRAP, &on_step, &old_step), 0);
	for (u32 round = 0; round < 8; round++) {
		const struct tmem_handle first = handle_of(1, 1, round);
		const struct tmem_handle second = handle_of(1, 2, round);

		mprotect(guest_page, PAGE_SIZE, PROT_NONE);
		assert_int_equal(tmem_put(client, &first, guest_page), 0);
		mprotect(guest_page, PAGE_SIZE, PROT_READ | PROT_WRITE);
		assert_int_equal(tmem_get(client, &first, stored), 0);
		assert_int_equal(tmem_put(client, &second, stored), 0);
		assert_int_equal(stats_of(client).equal_found, round + 1);
	}
	sigaction(SIGSEGV, &old_fault, NULL);
	sigaction(SIGTRAP, &old_step, NULL);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_own_copy_decides),
		cmocka_unit_test(what_is_hashed_is_what_is_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
