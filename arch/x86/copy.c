/*
 * Chooses how pages are copied, at boot and for all processors, by measuring each way on pages that
 * no cache holds, as those are that guests put and get. The ways take turns, so that whatever else
 * slows the machine strikes all of them.
 */
#include "arch/x86/copy.h"

#include "arch/x86/arch.h"
#include "arch/x86/log.h"
#include "arch/x86/processor.h"

#define LINE   64UL
#define ROUNDS 31U /* odd: the median is one of them */
#define PAGES  (ARCH_COPY_ROOM / PAGE_SIZE / 2)

#define CPUID_1_EDX_CLFSH BIT(19)

/* Everything before is done, and visible to others; nothing after has begun. */
static u64 now(void)
{
	u64 ticks;

	__asm__ volatile("mfence; lfence" : : : "memory");
	ticks = arch_tsc();
	__asm__ volatile("lfence" : : : "memory");
	return ticks;
}

static void flush_page(const u8 *page)
{
	for (u64 at = 0; at < PAGE_SIZE; at += LINE)
		__asm__ volatile("clflush %0" : : "m"(page[at]) : "memory");
}

static void read_page(const u8 *page)
{
	for (u64 at = 0; at < PAGE_SIZE; at += LINE)
		(void)READ_ONCE(page[at]);
}

/* A copy that is near is read at once, which tells where it is; reading it again is what that takes
 * anyhow. Such a difference may come out wrong if something else came between. */
static u64 time_copy(u8 *to, const u8 *from, enum copy_way way, enum copy_use use)
{
	u64 start = now(), copied, again;

	copy_page_by(to, from, way);
	if (use == COPY_AWAY)
		return now() - start;
	read_page(to);
	copied = now();
	read_page(to);
	again = now() - copied;
	return copied - start > again ? copied - start - again : copied - start;
}

static void measure(u8 *room, enum copy_use use, u64 ticks[COPY_WAYS])
{
	bool can_flush = cpuid(1, 0).edx & CPUID_1_EDX_CLFSH;
	u64 samples[COPY_WAYS][ROUNDS];

	for (unsigned i = 0; i < COPY_WAYS * ROUNDS; i++) {
		unsigned round = i / COPY_WAYS, way = (i + round) % COPY_WAYS;
		/* The same for each way; and no neighbours in a row, which would be fetched ahead.
		 */
		u8 *from = room + round * 7 % PAGES * PAGE_SIZE, *to = from + PAGES * PAGE_SIZE;

		if (can_flush) {
			flush_page(from);
			flush_page(to);
		}
		samples[way][round] = time_copy(to, from, (enum copy_way)way, use);
	}
	for (unsigned way = 0; way < COPY_WAYS; way++)
		ticks[way] = copy_median(samples[way], ROUNDS);
}

void arch_choose_copy(unsigned choice, void *room)
{
	static const char *const names[] = {"sse", "movsq", "movsb", "nontemporal"};
	u64 ticks[COPY_USES][COPY_WAYS] = {0};

	for (unsigned use = 0; use < COPY_USES; use++) {
		if (room)
			measure(room, (enum copy_use)use, ticks[use]);
		copy_ways[use] = (u8)(choice ? choice - 1 : copy_choose(ticks[use]));
	}
	log_info("stat: copy near=%s away=%s forced=%d near_sse=%lu near_movsq=%lu near_movsb=%lu "
		 "near_nontemporal=%lu away_sse=%lu away_movsq=%lu away_movsb=%lu "
		 "away_nontemporal=%lu",
		names[copy_ways[COPY_NEAR]], names[copy_ways[COPY_AWAY]], choice != 0,
		ticks[COPY_NEAR][COPY_SSE], ticks[COPY_NEAR][COPY_MOVSQ],
		ticks[COPY_NEAR][COPY_MOVSB], ticks[COPY_NEAR][COPY_NONTEMPORAL],
		ticks[COPY_AWAY][COPY_SSE], ticks[COPY_AWAY][COPY_MOVSQ],
		ticks[COPY_AWAY][COPY_MOVSB], ticks[COPY_AWAY][COPY_NONTEMPORAL]);
}
