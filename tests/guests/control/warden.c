/* The privileged roles: the warden, and the quitter. */
#include "roles.h"

static uint8_t stream[STREAM_MAX] __attribute__((aligned(4096)));

/* Ends in the midst of a restore: of the heir, with pages of its own. */
uint64_t role_quitter(void)
{
	uint64_t self = guest_named("quitter"), heir = guest_named("heir");
	uint64_t taken = 0;
	uint32_t status;
	int64_t size;

	CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_PERSISTENT, 0, 0) == 0);
	for (uint32_t n = 0; n < PAGES; n++) {
		fill(n + 5000);
		CHECK(put(0, n) == 0);
	}
	CHECK(save_all(self, stream, sizeof(stream)) == -SLUICE_EINVAL);
	CHECK(hypercall1(HYPERCALL_TMEM_FREEZE, self) == 0);
	size = save_all(self, stream, sizeof(stream));
	CHECK(size == (int64_t)(3 * RECORD_SIZE + PAGES * (RECORD_SIZE + PAGE)));
	while (taken < (uint64_t)size / 2) {
		int64_t bytes = restore_step(heir, stream + taken, (uint64_t)size - taken, &status);

		CHECK(bytes > 0 && status == TMEM_RESTORE_MORE);
		taken += (uint64_t)bytes;
	}
	CHECK(guest_info(heir).flags & TMEM_GUEST_RESTORING);
	CHECK(guest_info(heir).persistent_pages > PAGES / 3);
	print("quits\n");
	return 0;
}

/* From the manifest's "static" to "alternate", past what is no policy. */
uint64_t role_governor(void)
{
	static const uint64_t none[] = {BALLOON_CONTROL_POLICIES, 1ul << 32, 1ul << 63, ~1ul};

	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		CHECK(hypercall1(HYPERCALL_BALLOON_POLICY, none[i]) == -SLUICE_EINVAL);
	CHECK(hypercall1(HYPERCALL_BALLOON_POLICY, BALLOON_CONTROL_ASK) == BALLOON_CONTROL_STATIC);
	CHECK(hypercall1(HYPERCALL_BALLOON_POLICY, BALLOON_CONTROL_ALTERNATE) ==
		BALLOON_CONTROL_STATIC);
	CHECK(hypercall1(HYPERCALL_BALLOON_POLICY, BALLOON_CONTROL_ASK) ==
		BALLOON_CONTROL_ALTERNATE);
	print("switched\n");
	return 0;
}

/* Arguments that nobody should give. */
static uint64_t try_bad_arguments(uint64_t keeper)
{
	static const uint64_t nobody[] = {64, 63, 1ul << 32, 1ul << 63, ~0ul};
	static struct tmem_save_state state;
	const uint64_t nowhere = 1ul << 40, here = (uint64_t)stream, at = (uint64_t)&state;
	static uint32_t status;

	for (unsigned i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++)
		for (uint64_t number = HYPERCALL_TMEM_GUEST; number <= HYPERCALL_TMEM_ABANDON;
			number++)
			CHECK(hypercall6(number, nobody[i], here, here, 10000, 0, 0) ==
				-SLUICE_ESRCH);
	CHECK(hypercall2(HYPERCALL_TMEM_GUEST, keeper, nowhere) == -SLUICE_EFAULT);
	CHECK(hypercall2(HYPERCALL_TMEM_LIST, keeper, ~0ul) == -SLUICE_EFAULT);
	CHECK(hypercall2(HYPERCALL_TMEM_WEIGHT, keeper, 0) == -SLUICE_EINVAL);
	CHECK(hypercall2(HYPERCALL_TMEM_WEIGHT, keeper, 1ul << 32 | 1) == -SLUICE_EINVAL);
	CHECK(hypercall6(HYPERCALL_TMEM_SAVE, keeper, nowhere, here, 10000, 0, 0) ==
		-SLUICE_EFAULT);
	CHECK(hypercall6(HYPERCALL_TMEM_SAVE, keeper, at, nowhere, 10000, 0, 0) == -SLUICE_EFAULT);
	CHECK(hypercall6(HYPERCALL_TMEM_SAVE, keeper, at, here, ~0ul, 0, 0) == -SLUICE_EFAULT);
	CHECK(hypercall6(HYPERCALL_TMEM_SAVE, keeper, at, here, PAGE, 0, 0) == -SLUICE_EINVAL);
	CHECK(state.phase == TMEM_SAVE_BEGIN);
	state.phase = 77;
	CHECK(hypercall6(HYPERCALL_TMEM_SAVE, keeper, at, here, 10000, 0, 0) == -SLUICE_EINVAL);
	state.phase = TMEM_SAVE_PAGES;
	state.epoch = 77;
	CHECK(hypercall6(HYPERCALL_TMEM_SAVE, keeper, at, here, 10000, 0, 0) == -SLUICE_EINVAL);
	/* It has pools. */
	CHECK(restore_step(keeper, stream, 10000, &status) == -SLUICE_EBUSY);
	CHECK(hypercall1(HYPERCALL_TMEM_ABANDON, keeper) == 0);
	return 0;
}

static uint64_t check_list(uint64_t keeper)
{
	static struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];

	CHECK(hypercall2(HYPERCALL_TMEM_LIST, keeper, (uint64_t)infos) == 3);
	CHECK(infos[0].id == 0 && infos[0].flags == 0 && infos[0].uuid[0] == 1);
	CHECK(infos[1].id == 1 && infos[1].flags == TMEM_POOL_PERSISTENT);
	CHECK(infos[1].pages == PAGES && infos[1].puts == PAGES && infos[1].uuid[1] == 4);
	CHECK(infos[2].id == 2 && infos[2].flags == TMEM_POOL_SHARED && infos[2].pages >= 1);
	CHECK(infos[2].uuid[1] == SHARED_HIGH);
	return 0;
}

/* Streams that are wrong leave nothing behind. */
static uint64_t try_bad_streams(uint64_t heir, uint64_t size)
{
	struct tmem_stream_record *first = (void *)stream;
	uint32_t status;

	first->words[0]++;
	CHECK(restore_all(heir, stream, size, &status) == -SLUICE_EINVAL);
	CHECK(status == TMEM_RESTORE_BAD_MAGIC);
	first->words[0]--;
	stream[size / 2] ^= 1;
	CHECK(restore_all(heir, stream, size, &status) == -SLUICE_EINVAL);
	CHECK(status == TMEM_RESTORE_BAD_CHECK);
	stream[size / 2] ^= 1;
	CHECK(restore_all(heir, stream, size - 1, &status) == -SLUICE_EINVAL);
	CHECK(status == TMEM_RESTORE_TRUNCATED);
	CHECK(guest_info(heir).persistent_pages == 0);
	CHECK(!(guest_info(heir).flags & TMEM_GUEST_RESTORING));
	/* Given up on the way. */
	CHECK(restore_step(heir, stream, size, &status) > 0);
	CHECK(guest_info(heir).flags & TMEM_GUEST_RESTORING);
	CHECK(hypercall1(HYPERCALL_TMEM_ABANDON, heir) == 0);
	CHECK(guest_info(heir).persistent_pages == 0);
	return 0;
}

/* Calls of each kind until the guest has ended. */
static uint64_t watch_end(uint64_t guest)
{
	static struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];
	uint32_t status;
	int64_t result;

	do {
		result = save_all(guest, stream, sizeof(stream));
		CHECK(result == -SLUICE_EINVAL || result == -SLUICE_ESRCH);
		result = restore_step(guest, stream, sizeof(stream), &status);
		CHECK(result == -SLUICE_EBUSY || result == -SLUICE_ESRCH);
		result = hypercall2(HYPERCALL_TMEM_LIST, guest, (uint64_t)infos);
		CHECK(result == 3 || result == -SLUICE_ESRCH);
		result = hypercall3(HYPERCALL_TMEM_CAPS, guest, ~0ul, ~0ul);
		CHECK(result == 0 || result == -SLUICE_ESRCH);
	} while (result == 0);
	return 0;
}

uint64_t role_warden(void)
{
	uint64_t keeper = guest_named("keeper"), heir = guest_named("heir");
	uint64_t quitter = guest_named("quitter"), failed;
	uint32_t status;
	int64_t size;

	while (guest_info(keeper).persistent_pages < PAGES)
		;
	/* The pool that we share with the keeper: what it put is there, and stays. */
	CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_SHARED, SHARED_LOW, SHARED_HIGH) == 0);
	CHECK(kept(0, SCRATCH) && kept(0, SCRATCH));

	CHECK(save_all(keeper, stream, sizeof(stream)) == -SLUICE_EINVAL);
	CHECK(hypercall1(HYPERCALL_TMEM_FREEZE, keeper) == 0);
	CHECK(guest_info(keeper).flags & TMEM_GUEST_FROZEN);
	failed = try_bad_arguments(keeper);
	if (!failed)
		failed = check_list(keeper);
	CHECK(failed == 0);
	size = save_all(keeper, stream, sizeof(stream));
	CHECK(size == (int64_t)(5 * RECORD_SIZE + PAGES * (RECORD_SIZE + PAGE)));

	/* With the quitter goes what it brought to the heir. */
	while (guest_info(quitter).flags & TMEM_GUEST_RUNNING ||
		guest_info(heir).flags & TMEM_GUEST_RESTORING)
		;
	CHECK(guest_info(heir).persistent_pages == 0);
	failed = try_bad_streams(heir, (uint64_t)size);
	CHECK(failed == 0);
	CHECK(hypercall3(HYPERCALL_TMEM_CAPS, heir, PAGES + 1, 50) == 0);
	CHECK(hypercall2(HYPERCALL_TMEM_WEIGHT, heir, 300) == 0);
	CHECK(guest_info(heir).weight == 300 && guest_info(heir).ephemeral_max == 50);
	CHECK(restore_all(heir, stream, (uint64_t)size, &status) >= 0);
	CHECK(status == TMEM_RESTORE_DONE);

	/* The keeper has met the freeze; what one flushes is gone for all. */
	while (get(0, SIGNAL) != -SLUICE_ENOENT)
		;
	/* It goes on, and ends while calls about it are under way; then there is nobody to control.
	 */
	CHECK(hypercall1(HYPERCALL_TMEM_THAW, keeper) == 0);
	failed = watch_end(keeper);
	CHECK(failed == 0);
	CHECK(hypercall1(HYPERCALL_TMEM_FREEZE, keeper) == -SLUICE_ESRCH);
	CHECK(save_all(keeper, stream, sizeof(stream)) == -SLUICE_ESRCH);
	CHECK(guest_info(keeper).name[0] == 'k');
	CHECK(!(guest_info(keeper).flags & (TMEM_GUEST_RUNNING | TMEM_GUEST_HAS_TMEM)));
	/* The pool that it shared with us is still there. */
	CHECK(kept(0, SCRATCH));
	print("saved and restored\n");
	return 0;
}
