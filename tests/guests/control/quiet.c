/* The roles that are acted upon: the keeper of pages, and their heir; and the intruder. */
#include "roles.h"

uint64_t role_keeper(void)
{
	int64_t ephemeral = hypercall3(HYPERCALL_TMEM_POOL_NEW, 0, 1, 2);
	int64_t persistent = hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_PERSISTENT, 3, 4);
	int64_t shared = hypercall3(
		HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_SHARED, SHARED_LOW, SHARED_HIGH);
	int64_t result;

	CHECK(ephemeral == 0 && persistent == 1 && shared == 2);
	CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_SHARED, SHARED_HIGH, SHARED_LOW) ==
		-SLUICE_EINVAL);
	CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_SHARED | TMEM_POOL_PERSISTENT,
		      SHARED_LOW, SHARED_HIGH) == -SLUICE_EINVAL);
	fill(SCRATCH);
	CHECK(put(ephemeral, SCRATCH) == 0);
	CHECK(put(shared, SCRATCH) == 0);
	fill(SIGNAL);
	CHECK(put(shared, SIGNAL) == 0);
	for (uint32_t n = 0; n < PAGES; n++) {
		fill(n);
		CHECK(put(persistent, n) == 0);
	}
	/* The warden freezes us some time, and thaws us when the pages are saved. */
	fill(OTHER);
	do {
		CHECK(flush(ephemeral, OTHER) == 0);
		result = put(ephemeral, OTHER);
		CHECK(result == 0 || result == -SLUICE_ENOSPC);
	} while (result == 0);
	CHECK(get(ephemeral, OTHER) == -SLUICE_ENOENT);
	/* Gets and flushes are served. */
	CHECK(kept(persistent, 5));
	CHECK(flush(persistent, SCRATCH) == 0);
	CHECK(flush(shared, SIGNAL) == 0);
	print("frozen\n");
	do
		result = put(ephemeral, OTHER);
	while (result == -SLUICE_ENOSPC);
	CHECK(result == 0);
	for (uint32_t n = 0; n < PAGES; n++)
		CHECK(kept(persistent, n));
	print("thawed\n");
	return 0;
}

uint64_t role_heir(void)
{
	/* It makes no pools: they come with the pages. What an unfinished restore brought is not to
	 * be seen. */
	while (get(1, 0) == -SLUICE_EBADF)
		;
	for (uint32_t n = 0; n < PAGES; n++)
		CHECK(kept(1, n));
	CHECK(get(0, SCRATCH) == -SLUICE_ENOENT);
	CHECK(get(1, SCRATCH) == -SLUICE_ENOENT);
	CHECK(get(3, 0) == -SLUICE_EBADF);
	CHECK(kept(2, SCRATCH));
	fill(OTHER);
	CHECK(put(0, OTHER) == 0 && put(1, OTHER) == 0);
	CHECK(kept(0, OTHER) && kept(1, OTHER));
	CHECK(hypercall1(HYPERCALL_TMEM_POOL_DESTROY, 1) == 0);
	print("inherited\n");
	return 0;
}

uint64_t role_intruder(void)
{
	static uint8_t buffer[2 * PAGE];
	uint64_t here = (uint64_t)buffer;

	/* For a while, so that all the others do their work meanwhile. */
	for (unsigned round = 0; round < 200; round++)
		for (uint64_t number = HYPERCALL_TMEM_GUEST; number <= HYPERCALL_TMEM_ABANDON;
			number++) {
			for (uint64_t guest = 0; guest < 6; guest++)
				CHECK(hypercall6(number, guest, here, here, sizeof(buffer), 0, 0) ==
					-SLUICE_EPERM);
			CHECK(hypercall6(number, ~0ul, ~0ul, ~0ul, ~0ul, ~0ul, ~0ul) ==
				-SLUICE_EPERM);
		}
	CHECK(hypercall1(HYPERCALL_BALLOON_POLICY, BALLOON_CONTROL_ASK) == -SLUICE_EPERM);
	CHECK(hypercall1(HYPERCALL_BALLOON_POLICY, BALLOON_CONTROL_ALTERNATE) == -SLUICE_EPERM);
	for (unsigned i = 0; i < sizeof(buffer); i++)
		CHECK(buffer[i] == 0);
	CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_SHARED, SHARED_LOW, SHARED_HIGH) ==
		-SLUICE_EINVAL);
	print("kept out\n");
	return 0;
}
