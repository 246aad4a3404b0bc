/* Pools with modes switched off, in a guest that may look at its own: what the manifest says of it
 * is in tests/boot/test_control.py. */
#include "roles.h"

#define DEDUP    TMEM_POOL_MODE_DEDUP
#define COMPRESS TMEM_POOL_MODE_COMPRESS
#define FILLED   TMEM_POOL_MODE_FILLED

static struct tmem_pool_info infos[TMEM_POOLS_PER_GUEST];

uint64_t role_switcher(void)
{
	/* The machine has zero pages and compresses in precache; the guest has equal pages in all
	 * pools, and compresses in preswap. */
	static const struct {
		uint32_t flags, modes;
	} pools[] = {
		{0, FILLED | DEDUP}, {TMEM_POOL_PERSISTENT, FILLED | DEDUP | COMPRESS},
		{TMEM_POOL_PERSISTENT | TMEM_POOL_NO_COMPRESS, FILLED | DEDUP},
		{TMEM_POOL_PERSISTENT | TMEM_POOL_NO_DEDUP | TMEM_POOL_NO_FILLED, COMPRESS},
		{TMEM_POOL_NO_COMPRESS, FILLED | DEDUP}, /* it has that not anyhow */
	};
	const unsigned count = sizeof(pools) / sizeof(pools[0]);
	uint64_t self = guest_named("switcher");

	for (unsigned i = 0; i < count; i++) {
		CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, pools[i].flags, i, 0) == (int64_t)i);
		/* Words that count up, so that they compress. */
		fill(7);
		CHECK(put(i, 1) == 0 && put(i, 2) == 0);
	}
	for (unsigned bit = 2; bit < 64; bit++)
		if (bit < 4 || bit > 6)
			CHECK(hypercall3(HYPERCALL_TMEM_POOL_NEW, 1ul << bit, 0, 0) ==
				-SLUICE_EINVAL);
	CHECK(hypercall2(HYPERCALL_TMEM_LIST, self, (uint64_t)infos) == count);
	for (unsigned i = 0; i < count; i++) {
		CHECK(infos[i].flags == pools[i].flags && infos[i].modes == pools[i].modes);
		CHECK(infos[i].pages == 2);
		/* What is compressed is not looked for again. */
		CHECK(infos[i].compressed_pages == (pools[i].modes & COMPRESS ? 2 : 0));
		CHECK(infos[i].shared_pages == (pools[i].modes & COMPRESS ? 0 : 2));
	}
	CHECK(guest_info(self).shared_pages == 6);
	print("switched off\n");
	return 0;
}
